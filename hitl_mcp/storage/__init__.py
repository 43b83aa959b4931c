"""Durable storage of the approval server: one schema, its migrations and its stores, on SQLite and PostgreSQL."""
