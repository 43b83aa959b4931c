"""Users of the host that own nothing there: one for each sandbox.

The kernel counts pipes, queued signals, timers, watches and locked memory by user, across all containers:
sandboxes of one user could take these from each other.
"""

from __future__ import annotations

import secrets

_USERS = range(61184, 65520)
"""The range that systemd sets aside for users that exist only while a service runs."""


def user_of_its_own() -> int:
    """A user and group number for one sandbox, at random: no two executors need to agree."""
    return secrets.choice(_USERS)


def block_of_users(count: int) -> int:
    """The first of `count` users and groups in a row."""
    return secrets.choice(_USERS[: len(_USERS) - count + 1])
