-- A release that comes late must not end what the same agent was granted since.
ALTER TABLE leases ADD COLUMN grant_id text NOT NULL DEFAULT '';
