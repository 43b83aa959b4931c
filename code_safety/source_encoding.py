"""Python source that declares an encoding (PEP 263) under which it is another program than the one shown.

`# coding: utf-7` makes Python see line breaks, and so statements, within what everybody else reads as a
comment. The executor reads the program itself as UTF-8 whatever it declares; a module that is imported, or a
program that imports itself, is read by Python as it declares.
"""

from __future__ import annotations

import base64
import re
from typing import TypeGuard

from code_safety.descriptions import DESCRIPTIONS
from code_safety.findings import Finding, Place, Rule
from hitl_contract.action_code import CodeExecution
from hitl_contract.action_files import FileReference, InputFile

_BLANK = re.compile(r"[ \t\f]*(?:#.*)?\Z")
_DECLARATION = re.compile(r"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_SAME_FOR_ALL_TEXT = frozenset({"utf-8", "utf8", "u8", "utf", "utf-8-sig"})
_SAME_FOR_ASCII_TEXT = frozenset({"ascii", "us-ascii", "latin-1", "latin1", "iso-8859-1", "cp1252"})


def find_source_encodings(action: CodeExecution) -> tuple[Finding, ...]:
    """One finding for the program and each Python file whose declared encoding changes what it says."""
    texts = [("code", action.code)] if action.language == "python" else []
    files = enumerate(action.files)
    texts += [(f"files[{number}]", _text(file)) for number, file in files if _is_python(file)]
    found = ((where, _changing_declaration(text)) for where, text in texts)
    severity, sentence = DESCRIPTIONS[Rule.PYTHON_SOURCE_ENCODING]
    return tuple(
        Finding(Rule.PYTHON_SOURCE_ENCODING, severity, sentence, Place(where, line))
        for where, line in found
        if line is not None
    )


def _changing_declaration(text: str) -> int | None:
    """The line of the declaration; Python looks for it in the first two."""
    # Whether a lone carriage return ends a line depends on how Python is given the source; here it may.
    head = "\n".join(text.split("\n", 2)[:2]).replace("\r\n", "\n").replace("\r", "\n")
    for number, line in enumerate(head.split("\n"), start=1):
        if (declared := _DECLARATION.match(line)) is not None:
            return None if _is_harmless(declared[1], text) else number
        if not _BLANK.match(line):
            return None
    return None


def _is_harmless(encoding: str, text: str) -> bool:
    name = encoding.lower().replace("_", "-")
    return name in _SAME_FOR_ALL_TEXT or (name in _SAME_FOR_ASCII_TEXT and text.isascii())


def _is_python(file: InputFile | FileReference) -> TypeGuard[InputFile]:
    """Whether there is Python source to be read; what comes by reference is not here."""
    return isinstance(file, InputFile) and file.path.lower().endswith((".py", ".pyw"))


def _text(file: InputFile) -> str:
    """The file as far as a declaration can be read in it; bytes that are no ASCII count as such."""
    if file.content is not None:
        return file.content
    return base64.b64decode(file.content_base64 or "").decode("latin-1")
