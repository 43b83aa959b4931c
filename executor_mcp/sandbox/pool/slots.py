"""The life of one container of the pool, as a state machine without side effects.

LAUNCHING -> WARM -> TAKEN -> REMOVING -> GONE. There is no way back: what was taken is removed, whether it
ran its program, failed before, or was given back unused.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    LAUNCHING = "launching"
    WARM = "warm"
    TAKEN = "taken"
    REMOVING = "removing"
    GONE = "gone"


class Event(StrEnum):
    READY = "ready"
    TAKE = "take"
    RETIRE = "retire"
    REMOVED = "removed"


class NotAllowed(Exception):
    """The container is not in a state in which this may happen to it."""


_AFTER = {
    (State.LAUNCHING, Event.READY): State.WARM,
    (State.LAUNCHING, Event.RETIRE): State.REMOVING,
    (State.WARM, Event.TAKE): State.TAKEN,
    (State.WARM, Event.RETIRE): State.REMOVING,
    (State.TAKEN, Event.RETIRE): State.REMOVING,
    (State.REMOVING, Event.REMOVED): State.GONE,
}


def after(state: State, event: Event) -> State:
    """Raises NotAllowed."""
    try:
        return _AFTER[state, event]
    except KeyError:
        raise NotAllowed(f"a container that is {state} cannot {event}") from None


class Slot:
    """One container's state; changed through `happened` alone."""

    def __init__(self) -> None:
        self._state = State.LAUNCHING

    @property
    def state(self) -> State:
        return self._state

    def happened(self, event: Event) -> None:
        """Raises NotAllowed, and then nothing has changed."""
        self._state = after(self._state, event)
