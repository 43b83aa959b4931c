"""The schema's history, for Alembic."""

from __future__ import annotations

from pathlib import Path
from typing import Final

SCRIPT_LOCATION: Final = Path(__file__).parent
"""What `server_kit.database.migrations.migrate` needs to bring a database to this release's schema."""
