"""Since when a person has had a wording before them, for rules that ask for a longer look."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime
from typing import Final

_KEPT: Final = 10_000


class FirstSeen:
    """Remembers in this process alone: one that does not remember makes people look again, never less."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str, str], datetime] = OrderedDict()

    def known(self, person: str, request_id: str, action_digest: str) -> datetime | None:
        """When this person was first shown it; None where that is not known."""
        return self._seen.get((person, request_id, action_digest))

    def shown(self, person: str, request_id: str, action_digest: str, *, now: datetime) -> datetime:
        """When this person was first shown it; now, where that is not known."""
        key = (person, request_id, action_digest)
        since = self._seen.setdefault(key, now)
        self._seen.move_to_end(key)
        if len(self._seen) > _KEPT:
            self._seen.popitem(last=False)
        return since
