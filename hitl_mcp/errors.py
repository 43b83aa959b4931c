"""The error tree of the approval server: everything it raises on purpose is a `HitlError`.

`str()` of any of these is safe to show to an agent, a person or a log: no message carries a secret.
"""

from __future__ import annotations

from server_kit.errors import ServerError


class HitlError(Exception):
    """Base of the tree. The message says what was wrong, with which value, and what to do next."""


class IdentityError(HitlError):
    """Something about an agent, a person or a session."""


class NameRefused(IdentityError):
    """A name for an agent or a person is not one that can be written safely everywhere."""


class PasswordRefused(IdentityError):
    """A new password is too short, too long or the same as the name."""


class AlreadyExists(IdentityError):
    """An agent, a person or a channel identity of this name is there already."""


class UnknownAgent(IdentityError):
    """No agent of this name is registered."""


class UnknownPerson(IdentityError):
    """No person of this name is registered."""


class UnknownGroup(IdentityError):
    """No group of this name is there."""


class UnknownDelegation(IdentityError):
    """No delegation of this id is in force or to come."""


class IdentityRefused(IdentityError):
    """A value for a person, group, delegation or agent is not one that can be kept. `field` names it."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class SignInRefused(IdentityError):
    """The name and the password do not fit together. Never says which of the two was wrong."""


class TooManyAttempts(IdentityError):
    """Sign-in is throttled for this person or this address.

    `retry_after_seconds` is when the next attempt will be looked at.
    """

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"Too many failed attempts. Try again in {retry_after_seconds} seconds.")
        self.retry_after_seconds = retry_after_seconds


class CredentialRefused(HitlError):
    """A credential is missing, unknown, revoked or of the wrong kind for what was asked."""


class IdentityRolledBack(ServerError):
    """The register of changes to people and agents lacks what this server remembers, or was altered.

    Nobody is known then: who could put back the register could put back a suspended approver.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"the register of people and agents is not as this server left it: {problem}. The database was "
            "rolled back or changed from outside; nobody may decide until it is restored. After restoring a "
            "backup on purpose, move the file identity-register.json in HITL_HOME away and restart"
        )
