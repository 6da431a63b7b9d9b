"""The way of an order on the PC: lane 0, ledger, execution, reconciliation."""
