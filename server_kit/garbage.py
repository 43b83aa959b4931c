"""What a server loads at its start stays, so the garbage collector need not go through it again and again."""

from __future__ import annotations

import gc
from typing import Final

_OBJECTS_PER_ROUND: Final = 10_000


def collect_rarely() -> None:
    """Call as a process starts. Loading makes objects by the hundred thousand, and none of them is garbage; a
    call makes a few thousand and drops them again, almost none of them in cycles.
    """
    gc.set_threshold(_OBJECTS_PER_ROUND, 20, 50)


def spare_what_is_loaded() -> None:
    """Call once a server is ready: what lives now is left out of every later round."""
    gc.collect()
    gc.freeze()
