"""Files that a program is given: sent with the action, or left by an earlier execution, told by digest."""

from __future__ import annotations

import re
from typing import Annotated, Final, Self, Union

from pydantic import AfterValidator, Discriminator, Field, StringConstraints, Tag, model_validator

from hitl_contract.action_fields import ActionModel, Base64Text, RelativePath, relative_path

MAX_FILES = 64
MAX_FILE_CHARACTERS = 4_000_000
FILE_TAGS: Final = frozenset({"file-with-content", "file-by-reference"})
"""Stand in the places of validation errors and nowhere else."""

_CONTENT, _REFERENCE = sorted(FILE_TAGS, reverse=True)
_URI: Final = re.compile(r"execution://(exe_[a-z2-7]{26})/files/(.+)\Z", re.DOTALL)


class InputFile(ActionModel):
    """A file laid into the program's work directory before it starts."""

    path: RelativePath
    content: Annotated[str | None, Field(max_length=MAX_FILE_CHARACTERS, description="The file as text")] = (
        None
    )
    content_base64: Annotated[
        Base64Text | None, Field(max_length=MAX_FILE_CHARACTERS, description="The file as base64")
    ] = None

    @model_validator(mode="after")
    def _has_one_content(self) -> Self:
        if (self.content is None) == (self.content_base64 is None):
            raise ValueError("exactly one of content and content_base64 is needed, or reference with sha256")
        return self


def _file_uri(value: str) -> str:
    found = _URI.match(value)
    if found is None:
        raise ValueError("must be execution://EXECUTION_ID/files/PATH, as reference in files_created has it")
    relative_path(found[2])
    return value


FileUri = Annotated[str, StringConstraints(max_length=1100), AfterValidator(_file_uri)]


class FileReference(ActionModel):
    """A file that an earlier execution left, laid into the work directory under ``path``.

    The digest decides: an executor that finds other bytes there, or none, refuses to run the program.
    """

    path: RelativePath
    reference: Annotated[
        FileUri, Field(description="execution://EXECUTION_ID/files/PATH, as files_created has it")
    ]
    sha256: Annotated[
        str,
        Field(
            pattern=r"^[0-9a-f]{64}$", description="SHA-256 that the file must have, as files_created has it"
        ),
    ]

    @property
    def execution_id(self) -> str:
        """The execution that left the file."""
        return self._parts()[0]

    @property
    def source_path(self) -> str:
        """The file's path there."""
        return self._parts()[1]

    def _parts(self) -> tuple[str, str]:
        found = _URI.match(self.reference)
        assert found is not None
        return found[1], found[2]


def _kind(value: object) -> str:
    by_reference = "reference" in value if isinstance(value, dict) else isinstance(value, FileReference)
    return _REFERENCE if by_reference else _CONTENT


ActionFile = Annotated[
    Union[Annotated[InputFile, Tag(_CONTENT)], Annotated[FileReference, Tag(_REFERENCE)]],  # noqa: UP007
    Discriminator(_kind),
]
