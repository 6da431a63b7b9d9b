"""The PC's own store (DuckDB): terminals, brokers, accounts and preferences, kept in step with the database service."""
