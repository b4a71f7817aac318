"""The database schema, as alembic migrations; `store.postgres.schema` runs them."""
