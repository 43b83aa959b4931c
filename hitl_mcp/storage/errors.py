"""What the stores refuse."""

from __future__ import annotations

from hitl_mcp.errors import HitlError


class StorageError(HitlError):
    """Base of what the stores refuse."""


class ConcurrentChange(StorageError):
    """A row changed under a transition that was computed from its older form; nothing was written."""

    def __init__(self, request_id: str, version: int) -> None:
        super().__init__(f"Request {request_id} is no longer at version {version - 1}. Nothing was changed.")


class StoredRowDamaged(StorageError):
    """A row holds what this server never writes."""

    def __init__(self) -> None:
        super().__init__(
            "A stored request is damaged. Tell the operator: the database was changed from outside."
        )


class StoredActionDamaged(StorageError):
    """The bytes of an action are missing or do not have the digest they are stored under."""

    def __init__(self, digest: str) -> None:
        super().__init__(
            f"The stored action {digest} is missing or damaged. Tell the operator: the database was changed "
            "from outside."
        )
