"""Which tables the register of identity keeps."""

from __future__ import annotations

from typing import Final

from hitl_mcp.storage.schema import (
    absences,
    agents,
    channel_identities,
    delegations,
    grant_uses,
    grants,
    group_members,
    people,
    people_groups,
    sessions,
)

REGISTERED: Final = (
    people,
    channel_identities,
    people_groups,
    group_members,
    delegations,
    absences,
    agents,
    grants,
)
"""Every change of a row is registered: it cannot be set back."""

# Sessions are short-lived and many: not their opening is registered, but their end. Uses of grants are never
# changed, and counted in their grant, which is registered.
SEALED_ALONE: Final = (sessions, grant_uses)
"""Rows that count by their seal."""
