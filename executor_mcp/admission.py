"""What leaves the gate: a call that may run once. Only `gate.Gate` makes one."""

from __future__ import annotations

from typing import Final, NoReturn, final

from executor_mcp.models import Execution
from executor_mcp.sandbox.base import PreparedRun
from executor_mcp.workplace import Job

GATE_SEAL: Final = object()
"""Held by the gate. An architecture test shows that no other module names it."""


@final
class AdmittedCall:
    """Proof that every step of the gate held: the token is spent and "started" is in the audit log.

    It cannot be built without the gate's seal, copied or pickled, and its content is handed out once.
    """

    __slots__ = ("_job", "_prepared", "_taken", "execution")

    def __init__(self, *, seal: object, execution: Execution, job: Job, prepared: PreparedRun) -> None:
        if seal is not GATE_SEAL:
            raise TypeError("an AdmittedCall comes from Gate.admit alone")
        self.execution = execution
        self._job = job
        self._prepared = prepared
        self._taken = False

    def take(self) -> tuple[Job, PreparedRun]:
        """What to run. A second call raises RuntimeError: one admission is one run."""
        if self._taken:
            raise RuntimeError(f"execution {self.execution.execution_id} was taken to be run before")
        self._taken = True
        return self._job, self._prepared

    def __reduce__(self) -> NoReturn:
        raise TypeError("an AdmittedCall cannot be copied or pickled")
