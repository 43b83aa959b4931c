"""A change to one client's configuration file, worked out in full before anything is written."""

from __future__ import annotations

import difflib
import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hitl_mcp.cli.failures import CommandFailed, ExitCode


@dataclass(frozen=True)
class FileEdit:
    """`before` is None when the file does not exist yet."""

    path: Path
    before: str | None
    after: str

    @property
    def changes_nothing(self) -> bool:
        return self.before == self.after

    def diff(self) -> list[str]:
        """The change as unified diff lines, without line ends."""
        return list(
            difflib.unified_diff(
                (self.before or "").splitlines(),
                self.after.splitlines(),
                fromfile=str(self.path) if self.before is not None else "(new file)",
                tofile=str(self.path),
                lineterm="",
            )
        )

    def apply(self) -> Path | None:
        """Writes the file whole or not at all. Returns the backup's path, None where there was no file.

        Raises:
            CommandFailed: the file has changed since the difference was shown, or cannot be written.
        """
        # Clients keep such files under symbolic links into dotfile repositories; the link must survive.
        target = self.path.resolve()
        try:
            if read_text(target) != self.before:
                raise CommandFailed(
                    f"{self.path} changed while you were looking at the difference; nothing was written.",
                    exit_code=ExitCode.ENVIRONMENT,
                    hint="Run the command again.",
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            backup = self._back_up(target)
            _replace(target, self.after)
        except OSError as error:
            raise CommandFailed(
                f"Cannot write {self.path}: {error.strerror}.",
                exit_code=ExitCode.ENVIRONMENT,
                hint="Run with --print and paste the lines yourself.",
            ) from error
        return backup

    def _back_up(self, target: Path) -> Path | None:
        if self.before is None:
            return None
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        backup = target.with_name(f"{target.name}.before-hitl-{stamp}")
        descriptor = os.open(backup, os.O_WRONLY | os.O_CREAT | os.O_EXCL, target.stat().st_mode & 0o777)
        with os.fdopen(descriptor, "wb") as file:
            file.write(target.read_bytes())
        return backup


def read_text(path: Path) -> str | None:
    """The file's text, None when there is no such file.

    Raises:
        CommandFailed: the file is not UTF-8 text.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise CommandFailed(
            f"{path} is not UTF-8 text.",
            exit_code=ExitCode.USAGE,
            hint="Run with --print and paste the lines yourself.",
        ) from error


def _replace(target: Path, text: str) -> None:
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
