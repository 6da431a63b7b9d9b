-- Two PCs may bear one name: the ledger says which of them executes.
ALTER TABLE leases ADD COLUMN ledger text NOT NULL DEFAULT '';
