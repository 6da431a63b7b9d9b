"""ClickHouse: what is many."""
