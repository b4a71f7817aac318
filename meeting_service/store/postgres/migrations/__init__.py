"""The database schema, as alembic migrations; `store.schema` runs them."""
