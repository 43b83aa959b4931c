"""What this project promises, and for each promise the tests that would go red if it were broken.

A promise with tests and without `missing` is kept. One with both is kept in the part that its tests show;
`missing` says what is not there. One without tests is not kept, and nothing that users read may claim it.
`docs/guarantees.md` shows the same table to readers, and `tests/architecture/test_guarantees.py` checks both
against the tests that exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Standing(StrEnum):
    """How far a promise is kept."""

    KEPT = "kept"
    IN_PART = "in part"
    NOT_YET = "not yet"


@dataclass(frozen=True)
class Promise:
    """One line of what is promised; `tests` are module paths or pytest node ids without parameters."""

    name: str
    text: str
    tests: tuple[str, ...] = ()
    missing: str = ""

    @property
    def standing(self) -> Standing:
        if not self.tests:
            return Standing.NOT_YET
        return Standing.IN_PART if self.missing else Standing.KEPT


APPROVAL = (
    Promise(
        "A1",
        (
            "Nothing is approved by silence, error, restart or race; only by enough eligible people or by a "
            "rule that names itself."
        ),
    ),
    Promise(
        "A2",
        (
            "An acknowledged request survives kill -9, with its decisions, deadlines and undelivered "
            "notifications."
        ),
    ),
    Promise("A3", "A terminal state never changes; of a decision and a timeout that race exactly one wins."),
    Promise(
        "A4",
        (
            "Quorum counts distinct eligible people once, never the requester; eligibility is checked again "
            "at minting."
        ),
    ),
    Promise(
        "A5",
        (
            "No agent's credential can decide or see other agents' requests and tokens; no person's can "
            "mint without a decision."
        ),
    ),
    Promise(
        "A6",
        (
            "Every channel shows a rendering of exactly the approved bytes; where something is hidden there "
            "is no Approve button."
        ),
    ),
    Promise(
        "A7",
        (
            "An approver's edit changes the digest, voids earlier approvals and keeps all three actions on "
            "record."
        ),
    ),
    Promise(
        "A8",
        (
            "A lost, timed-out or cancelled call loses no request, and asking again does not notify people "
            "twice."
        ),
    ),
    Promise(
        "A9", "Each decision reaches every open card and a waiting agent, also across processes and replicas."
    ),
    Promise(
        "A10", "A GET decides nothing; a forged, replayed or late callback decides nothing and is recorded."
    ),
)

TOKEN = (
    Promise(
        "T1", "The executor runs only what the digest names: a change of any byte of any field is refused."
    ),
    Promise("T2", "A token is spent at most once, across processes, replicas, crashes and simultaneous use."),
    Promise(
        "T3",
        (
            "Forged, confused, misdirected, untimely, revoked and malformed tokens are refused cheaply and "
            "audited."
        ),
    ),
    Promise("T4", "The private key is readable by the approval server alone; rotation loses no valid token."),
    Promise("T5", "Who can write the database but does not hold the server's key cannot make an approval."),
    Promise(
        "T6",
        (
            "Tokens, keys, passwords, code and input never appear in logs, errors, metrics, traces or "
            "notifications."
        ),
    ),
)

EXECUTION = (
    Promise("E1", "Without a valid token nothing is run, written or pulled, and Docker is not called."),
    Promise(
        "E2",
        (
            "An approved action runs exactly once; a crash in the middle is reported as interrupted, never "
            "re-run."
        ),
    ),
    Promise(
        "E3",
        (
            "Programs cannot reach the network, the host's files, the engine or other executions, nor "
            "outlive their end."
        ),
    ),
    Promise(
        "E4", "Memory, cpu, process, disk, inode, output, file and time bounds hold against hostile programs."
    ),
    Promise("E5", "No state passes from one execution to another."),
    Promise("E6", "Output of any bytes harms no reader: bounded, marked truncated, made safe where shown."),
    Promise(
        "E7", "Cancel stops a program within 5 s; a disconnected client leaves none running past its limit."
    ),
    Promise(
        "E8",
        (
            "Every execution has a receipt that binds token, action, output and image, checkable with "
            "public keys."
        ),
    ),
)

AUDIT_AND_DATA = (
    Promise(
        "D1",
        (
            "Every change has an audit entry before its effect is visible; without the entry the act does "
            "not happen."
        ),
    ),
    Promise(
        "D2",
        "Edit, deletion, insertion, reorder, cut tail, rollback and fork of the log are each found offline.",
    ),
    Promise(
        "D3",
        (
            "A slow, locked, full or absent database makes refusals and errors, never lost or invented "
            "approvals."
        ),
    ),
    Promise(
        "D4",
        "Upgrades migrate every released schema forward; a newer schema is refused with a clear message.",
    ),
)

DOORS = (
    Promise(
        "W1",
        (
            "Every route and tool needs a credential except health, JWKS and login; loopback is not a "
            "credential."
        ),
    ),
    Promise(
        "W2",
        "Session, CSRF, CSP, clickjacking, redirect, injection and brute-force protections hold everywhere.",
    ),
    Promise(
        "W3", "Bad input gets a 4xx with the field and the reason, never a 5xx, a hang or a partial effect."
    ),
    Promise(
        "W4",
        "Rate limits hold per agent, person, address and endpoint, and cannot be evaded by header tricks.",
    ),
)

PROMISES = (*APPROVAL, *TOKEN, *EXECUTION, *AUDIT_AND_DATA, *DOORS)
