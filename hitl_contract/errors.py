"""The error tree of the contract."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ContractError(Exception):
    """Anything that breaks the agreement between the two servers."""


class CanonicalizationError(ContractError):
    """A value without RFC 8785 form: a lone surrogate, NaN, an integer beyond 2**53 - 1, nested too deep."""


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing wrong with one field: ``field`` is a dotted path, ``message`` says what is allowed."""

    field: str
    message: str


class InvalidAction(ContractError):
    """An action that nobody could approve; ``problems`` names every field that is wrong."""

    def __init__(self, problems: tuple[FieldProblem, ...]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in problems))


class InvalidKeySet(ContractError):
    """A JSON Web Key Set that cannot be trusted as it stands."""


class RefusalCode(StrEnum):
    """Why a capability token was refused; without a good signature nothing but ``invalid_token`` is told."""

    INVALID_TOKEN = "invalid_token"  # noqa: S105 - a reason, not a password
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    REVOKED = "revoked"
    ACTION_MISMATCH = "action_mismatch"
    ALREADY_USED = "already_used"


class TokenRefused(ContractError):
    """A capability token that opens nothing. ``detail`` is safe to show to the bearer."""

    def __init__(self, code: RefusalCode, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}")


class ChainMalformed(ContractError):
    """An audit record that cannot be read as one; the message names the field."""
