"""What a warm supervisor and its child tell one another. Part of the supervisor's source."""

from __future__ import annotations

import mmap
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Takes longer to load than most programs run.
    from typing import Any


class Account:
    """What the supervisor has to know of a job: bounds, and digests of the files that were given."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.given: dict[str, str] = told["given"]
        self.result_bytes: int = told["result_bytes"]
        self.file_bounds: dict[str, int] = told["file_bounds"]

    @staticmethod
    def of(job: dict[str, Any], given: dict[str, str]) -> dict[str, Any]:
        return {"given": given, "result_bytes": job["result_bytes"], "file_bounds": job["file_bounds"]}


class Farewell:
    """The status that a child ends with, in one page of memory that both have.

    A program can write there too: it is then ended with the status that it chose, as if it had exited.
    """

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE)
        self._process = 0

    def adopt(self) -> None:
        """Called by the child: what it forks has the page as well, and ends in the same way."""
        self._process = os.getpid()

    def say(self, status: int) -> None:
        if os.getpid() == self._process:
            self._page[:2] = bytes((1, status))

    @property
    def status(self) -> int | None:
        said, status = self._page[:2]
        return status if said else None
