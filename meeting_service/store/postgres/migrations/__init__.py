"""The database schema, as alembic migrations; `store.postgres.migrate` runs them."""
