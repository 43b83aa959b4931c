"""What can go wrong with packages. Messages name the package and what to do next."""

from __future__ import annotations

from executor_mcp.errors import ExecutorError
from hitl_contract.action_packages import PackageAddition


class PackageError(ExecutorError):
    """Root of everything raised about packages."""


class RequirementInvalid(PackageError):
    """Text that does not name a package and its versions."""


class PackageNotAllowed(PackageError):
    """A program may not have it now: not on the list, not locked, known to be vulnerable, or unknown.

    `instead` is the action for which an agent may ask people, where there is one.
    """

    def __init__(self, message: str, *, instead: PackageAddition | None = None) -> None:
        self.instead = instead
        super().__init__(message)


class PackagesUnavailable(PackageError):
    """What it takes to judge an addition does not answer now; another try may succeed."""


class PackageNotInstallable(PackageError):
    """It could not be resolved, locked or unpacked; nothing was kept."""


class LayerBroken(PackageError):
    """A layer's files are no longer those that were locked."""


class VulnerabilitiesUnknown(PackageError):
    """The source cannot say whether something is known to be vulnerable; that is no answer, and no yes."""
