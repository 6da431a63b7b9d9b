"""PostgreSQL: what must be consistent."""
