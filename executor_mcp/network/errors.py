"""What the egress proxy refuses. None of it reaches a caller: it is a verdict in the execution's record."""

from __future__ import annotations

from enum import StrEnum

from executor_mcp.errors import ExecutorError


class Verdict(StrEnum):
    """What became of one connection."""

    ALLOWED = "allowed"
    NAME_NOT_ALLOWED = "name_not_allowed"
    PORT_NOT_ALLOWED = "port_not_allowed"
    ADDRESS_NOT_ALLOWED = "address_not_allowed"
    NAME_NOT_FOUND = "name_not_found"
    NOT_REACHED = "not_reached"
    NOT_TLS = "not_tls"
    TLS_NAME_DIFFERS = "tls_name_differs"
    TLS_NAME_HIDDEN = "tls_name_hidden"
    UNFINISHED = "unfinished"
    CUT_OFF = "cut_off"
    """It was allowed and made; the proxy ended before it did, so how much was sent is not known."""

    TOO_MANY = "too_many"


class EgressRefused(ExecutorError):
    """A connection that is not made. `explanation` is one sentence for the program."""

    def __init__(self, verdict: Verdict, explanation: str) -> None:
        self.verdict = verdict
        self.explanation = explanation
        super().__init__(explanation)
