"""What can go wrong around a server rather than inside its job: one tree, with the exit code each error stops
a start with.
"""

from __future__ import annotations

EXIT_CONFIGURATION = 2
EXIT_ENVIRONMENT = 3


class ServerError(Exception):
    """The common root. `str()` is one line for a person: what is wrong, with which value, what to do."""

    exit_code: int = EXIT_ENVIRONMENT


class ConfigurationError(ServerError):
    """A setting is unknown, missing or has a value that is not allowed."""

    exit_code = EXIT_CONFIGURATION


class DatabaseUnavailable(ServerError):
    """The database did not take the operation: unreachable, locked, full or failing.

    Nothing of the operation is acknowledged. It may be tried again later; the service returns by itself.
    """


class DatabaseCorrupt(DatabaseUnavailable):
    """The database file is damaged or is not a database."""


class SchemaTooNew(ServerError):
    """The database was written by a newer release, whose schema this one does not know."""


class AuditUnavailable(ServerError):
    """The audit entry could not be written, therefore the act it describes must not happen."""


class PortInUse(ServerError):
    """Another process listens on the address already."""


class HomeNotWritable(ServerError):
    """The directory for the server's own files cannot be written."""
