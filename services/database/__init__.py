"""THE KEEPER: the only program that speaks to PostgreSQL, ClickHouse and Valkey."""
