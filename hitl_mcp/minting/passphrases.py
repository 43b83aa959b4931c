"""Where the passphrase of sealed keys comes from: never an argument, never a plain environment variable.

An argument is shown by `ps` and an environment by /proc; a file descriptor, a file and the output of a
command are not.
"""

from __future__ import annotations

import getpass
import os
import shlex
import stat
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from hitl_mcp.minting.key_files import KeyFileRefused

MIN_PASSPHRASE_CHARACTERS: Final = 12
PASSPHRASE: Final = "HITL_PASSPHRASE"  # noqa: S105 - a variable's name
NEW_PASSPHRASE: Final = "HITL_NEW_PASSPHRASE"  # noqa: S105 - a variable's name
_WAYS: Final = ("_FD", "_FILE", "_COMMAND")
PASSPHRASE_VARIABLES: Final = frozenset(
    f"{name}{way}" for name in (PASSPHRASE, NEW_PASSPHRASE) for way in _WAYS
)
_MAX_BYTES: Final = 4096
_COMMAND_SECONDS: Final = 30


class PassphraseMissing(KeyFileRefused):
    """The keys are sealed and nothing gives the passphrase."""


class WrongPassphrase(KeyFileRefused):
    """The passphrase does not open the keys."""


def terminal_question(prompt: str) -> str | None:
    """What a person types without an echo; None where there is no terminal."""
    return getpass.getpass(prompt) if sys.stdin.isatty() else None


class Passphrases:
    """One source of a passphrase, asked at most once: a descriptor can be read only one time."""

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        *,
        ask: Callable[[str], str | None] = terminal_question,
        name: str = PASSPHRASE,
    ) -> None:
        self._environment = os.environ if environment is None else environment
        self._ask = ask
        self._name = name
        self._known: str | None = None

    @property
    def configured(self) -> str | None:
        """The variable that names the source. Raises KeyFileRefused when more than one does."""
        found = [f"{self._name}{way}" for way in _WAYS if self._environment.get(f"{self._name}{way}")]
        if len(found) > 1:
            raise KeyFileRefused(f"{' and '.join(found)} are both set. Set one of them.")
        return found[0] if found else None

    def get(self, prompt: str) -> str:
        """The passphrase. Raises PassphraseMissing, or KeyFileRefused when its source does not give one."""
        if self._known is None:
            self._known = self._from_source(prompt)
        return self._known

    def get_new(self, prompt: str) -> str:
        """A new passphrase, asked for twice at a terminal. Raises as `get`, and when it is too short."""
        found = self.get(prompt)
        if self.configured is None and self._ask("Once more: ") != found:
            raise KeyFileRefused("The two passphrases differ. Nothing was changed.")
        if len(found) < MIN_PASSPHRASE_CHARACTERS:
            raise KeyFileRefused(
                f"The passphrase has {len(found)} characters; {MIN_PASSPHRASE_CHARACTERS} are the least."
            )
        return found

    def _from_source(self, prompt: str) -> str:
        variable = self.configured
        if variable is None:
            typed = self._ask(prompt)
            if typed is None:
                ways = ", ".join(f"{self._name}{way}" for way in _WAYS)
                raise PassphraseMissing(
                    f"A passphrase is needed and there is no terminal to ask at. Set one of {ways}."
                )
            return _normal(typed.encode("utf-8", "surrogateescape"), "the terminal")
        value = self._environment[variable]
        if variable.endswith("_FD"):
            return _normal(_from_descriptor(variable, value), variable)
        if variable.endswith("_FILE"):
            return _normal(_from_file(variable, Path(value).expanduser()), variable)
        return _normal(_from_command(variable, value, self._environment), variable)


def _normal(raw: bytes, source: str) -> str:
    try:
        text = unicodedata.normalize("NFKC", raw.decode("utf-8")).rstrip("\r\n")
    except UnicodeDecodeError:
        raise KeyFileRefused(f"The passphrase from {source} is not UTF-8.") from None
    if not text:
        raise PassphraseMissing(f"The passphrase from {source} is empty.")
    return text


def _from_descriptor(variable: str, value: str) -> bytes:
    try:
        with os.fdopen(int(value), "rb") as file:
            return file.read(_MAX_BYTES)
    except (ValueError, OSError):
        raise KeyFileRefused(f"{variable} names no file descriptor that can be read.") from None


def _from_file(variable: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            # Secret stores mount files of root, readable by the group of the service.
            if stat.S_IMODE(found.st_mode) & 0o007 or found.st_uid not in {0, os.geteuid()}:
                raise KeyFileRefused(
                    f"The file {path} ({variable}) is open to every user, or another user's. "
                    f"Run: chmod 600 {path}"
                )
            return file.read(_MAX_BYTES)
    except OSError as error:
        raise KeyFileRefused(f"The file {path} ({variable}) cannot be read ({error.strerror}).") from None


def _from_command(variable: str, command: str, environment: Mapping[str, str]) -> bytes:
    clean = {name: value for name, value in environment.items() if name not in PASSPHRASE_VARIABLES}
    try:
        done = subprocess.run(
            shlex.split(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=clean,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise KeyFileRefused(f"The command of {variable} cannot be run ({type(error).__name__}).") from None
    if done.returncode != 0:
        raise KeyFileRefused(f"The command of {variable} ended with status {done.returncode}.")
    return done.stdout[:_MAX_BYTES]
