"""Roles that stand for other roles: pure.

`{"admin": ["approver"]}` says that whoever has the role admin has the role approver as well, and so on
through any number of steps. Roles are names of the operator's choosing; three of them mean something to this
server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final

from hitl_contract.display import safe_text
from hitl_mcp.approvals.quorum import person_key
from hitl_mcp.errors import IdentityRefused

MAX_ROLE_CHARACTERS: Final = 64


class Role(StrEnum):
    """The roles that the server itself knows.

    An auditor reads, verifies and exports the audit log and, without the role approver besides, decides
    nothing, in nobody's place either.
    """

    APPROVER = "approver"
    ADMIN = "admin"
    AUDITOR = "auditor"


def checked_role(name: str, *, field: str = "role") -> str:
    """The folded name of a role or group, the form in which rules name it too.

    Raises:
        IdentityRefused: it is empty or too long, or has other than letters, digits and `. _ -`.
    """
    folded = person_key(name)
    if (
        not folded
        or len(folded) > MAX_ROLE_CHARACTERS
        or not folded[0].isalnum()
        or not all(character.isalnum() or character in "._-" for character in folded)
    ):
        raise IdentityRefused(
            field,
            f'"{safe_text(name[:80])}" cannot be a name: use 1 to {MAX_ROLE_CHARACTERS} letters and digits, '
            "with . _ - after the first",
        )
    return folded


class RoleHierarchy:
    """Which roles each role implies.

    Raises:
        IdentityRefused: a name cannot be one, or a role implies itself; the chain is named.
    """

    def __init__(self, implied: Mapping[str, Sequence[str]] | None = None) -> None:
        self._implied = {
            checked_role(role, field="roles"): tuple(checked_role(each, field="roles") for each in others)
            for role, others in (implied or {}).items()
        }
        for role in self._implied:
            self._refuse_cycle((role,))

    @property
    def senior_roles(self) -> frozenset[str]:
        """The roles that imply others."""
        return frozenset(self._implied)

    def effective(self, roles: Iterable[str]) -> frozenset[str]:
        """These roles and everything they imply."""
        found: set[str] = set()
        waiting = [person_key(role) for role in roles]
        while waiting:
            role = waiting.pop()
            if role not in found:
                found.add(role)
                waiting.extend(self._implied.get(role, ()))
        return frozenset(found)

    def _refuse_cycle(self, path: tuple[str, ...]) -> None:
        for following in self._implied.get(path[-1], ()):
            if following in path:
                cycle = " -> ".join((*path[path.index(following) :], following))
                raise IdentityRefused("roles", f"{cycle}: a role must not imply itself")
            self._refuse_cycle((*path, following))
