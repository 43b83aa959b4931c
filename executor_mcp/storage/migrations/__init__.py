"""The history of the executor's schema, for Alembic."""
