"""What Alembic runs: the migrations, on the connection that `server_kit.database.migrations` hands over."""

from __future__ import annotations

from alembic import context

from executor_mcp.storage.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
