"""Files of earlier executions that an action passes in by reference: found, and held against their digest."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Final, Protocol

from executor_mcp.errors import RefusalReason, Refused
from executor_mcp.storage.executions import FileContent
from hitl_contract.action import Action, CodeExecution
from hitl_contract.action_files import FileReference, InputFile
from server_kit.errors import ServerError

MAX_REFERENCED_BYTES: Final = 16 * 1024 * 1024
MEMORY_FACTOR: Final = 6
"""Laying a file out takes it several times over, in the memory that was approved for the program."""

_MEBIBYTE: Final = 1024 * 1024
_STEP: Final = 6


class FileStore(Protocol):
    """Where the files of ended executions are."""

    async def file(self, execution_id: str, path: str) -> FileContent | None:
        """Raises ServerError when it cannot be read now."""
        ...


class ReferencedFiles:
    """Resolves references. Knowing the unguessable execution id is the right to read, here as elsewhere.

    1. The execution left a file of that path.
    2. All referenced files together are within bounds, also of the memory that was approved.
    3. The bytes that are there have the approved digest; what a column says of them is not asked.
    """

    def __init__(self, store: FileStore) -> None:
        self._store = store

    async def resolve(self, action: Action) -> Action:
        """The action with the content of every file in it; nothing to do for what is no program.

        Raises Refused.
        """
        if not isinstance(action, CodeExecution) or without_references(action) is action:
            return action
        return action.model_copy(update={"files": await self._files(action)})

    async def _files(self, program: CodeExecution) -> tuple[InputFile, ...]:
        files: list[InputFile] = []
        room = min(MAX_REFERENCED_BYTES, program.limits.memory_mb * _MEBIBYTE // MEMORY_FACTOR)
        for number, file in enumerate(program.files):
            if isinstance(file, InputFile):
                files.append(file)
                continue
            place = f"files[{number}] ({file.path[:100]!a})"
            content = await self._read(file, place)  # 1
            room -= len(content)
            if room < 0:  # 2
                raise _too_large(place, program.limits.memory_mb)
            files.append(await asyncio.to_thread(_checked, file, content, place))  # 3
        return tuple(files)

    async def _read(self, file: FileReference, place: str) -> bytes:
        try:
            # A database refuses to be asked for what no file's path is.
            known = file.source_path.isprintable()
            found = await self._store.file(file.execution_id, file.source_path) if known else None
        except ServerError as error:
            detail = (
                f"{place}: the file of an earlier execution cannot be read now; try again in a few seconds"
            )
            raise Refused(RefusalReason.STORAGE_UNAVAILABLE, detail, step=_STEP) from error
        if found is None:
            detail = (
                f"{place}: this executor has no such file of that execution; name one of its files_created "
                "once it has ended, or send the content"
            )
            raise Refused(RefusalReason.FILE_UNAVAILABLE, detail, step=_STEP)
        return found.content


def without_references(action: Action) -> Action:
    """The action with those files alone that came with it."""
    if not isinstance(action, CodeExecution):
        return action
    files = tuple(file for file in action.files if isinstance(file, InputFile))
    return action if len(files) == len(action.files) else action.model_copy(update={"files": files})


def _too_large(place: str, memory_mb: int) -> Refused:
    detail = (
        f"{place}: the files that are passed by reference are too large together; at most "
        f"{MAX_REFERENCED_BYTES // _MEBIBYTE} MiB and a sixth of limits.memory_mb ({memory_mb}) are allowed"
    )
    return Refused(RefusalReason.NOT_ALLOWED_HERE, detail, step=_STEP)


def _checked(file: FileReference, content: bytes, place: str) -> InputFile:
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        detail = (
            f"{place}: the file that is there has the SHA-256 {digest}, and {file.sha256} was approved; "
            "request approval for what is there"
        )
        raise Refused(RefusalReason.FILE_MISMATCH, detail, step=_STEP)
    # Without validation: its bound on characters is for what an agent sends.
    return InputFile.model_construct(
        path=file.path, content=None, content_base64=base64.b64encode(content).decode()
    )
