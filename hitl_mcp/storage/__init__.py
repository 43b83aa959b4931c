"""Durable storage of the approval server: one schema, migrations and stores, on SQLite and PostgreSQL."""
