"""Words of a shell script as the shell would see them, as far as the text tells."""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tree_sitter import Node

UNKNOWN: Final = "\x00"
"""Stands in a word for what is only known while the script runs; no word of a shell can hold it."""

MAX_DEPTH: Final = 20
MAX_WORD: Final = 100_000
MAX_STEPS: Final = 50_000
MAX_SUBSTITUTION: Final = 2_000
"""Bytes of a command whose output is worked out."""

_KEPT_VARIABLES: Final = frozenset({"HOME", "PWD", "TMPDIR", "USER", "0"})
_PLACES: Final = {"mktemp": "/tmp/scratch", "pwd": ".", "dirname": ".", "nproc": "1"}  # noqa: S108 - a text to judge
_ANSI: Final = re.compile(
    r"\\(x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{1,4}|U[0-9A-Fa-f]{1,8}|0?[0-7]{1,3}|.)", re.DOTALL
)
_ANSI_LETTERS: Final = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "e": "\x1b",
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "v": "\v",
}


class Words:
    """Turns nodes into words; `assign` remembers what variables were set to."""

    def __init__(self) -> None:
        self._variables: dict[str, set[str]] = {}
        self._steps = 0

    def assign(self, name: str, value: str) -> None:
        """Remember a value of a variable; one with several values is not known."""
        held = self._variables.setdefault(name, set())
        if len(held) < 3:
            held.add(value)

    def text(self, node: Node | None, depth: int = 0) -> str:
        """The word that a node stands for; UNKNOWN in the place of what is not known."""
        self._steps += 1
        if node is None or depth > MAX_DEPTH or self._steps > MAX_STEPS:
            return UNKNOWN
        if node.type in {"command_substitution", "process_substitution"} and _size(node) > MAX_SUBSTITUTION:
            return UNKNOWN
        return self._text(node, depth)[:MAX_WORD]

    def of_command(self, node: Node, depth: int = 0) -> list[str]:
        """All words of a simple command, its name first; assignments before it are left out."""
        words: list[str] = []
        for child in node.named_children:
            if child.type == "command_name":
                words.extend(self._split(child.named_children[0] if child.named_children else child, depth))
            elif child.type not in {
                "variable_assignment",
                "file_redirect",
                "herestring_redirect",
                "heredoc_redirect",
                "comment",
            }:
                words.extend(self._split(child, depth))
        return words

    def _split(self, node: Node, depth: int) -> list[str]:
        text = self.text(node, depth)
        # An expansion that is not quoted is split at blanks: x='rm -rf /'; $x
        unquoted = node.type in {"simple_expansion", "expansion", "command_substitution"} or (
            node.type == "concatenation"
            and any(child.type in {"simple_expansion", "expansion"} for child in node.named_children)
        )
        if not unquoted or not any(blank in text for blank in " \t\n"):
            return [text]
        return text.split() or [text]

    def _text(self, node: Node, depth: int) -> str:
        kind = node.type
        source = _source(node)
        if kind in {"word", "number", "variable_name", "special_variable_name", "extglob_pattern", "regex"}:
            inner = [child for child in node.named_children if child.type not in {"special_character"}]
            return re.sub(r"\\(.)", r"\1", source) if not inner else self._joined(node, depth)
        if kind == "raw_string":
            return source[1:-1]
        if kind == "ansi_c_string":
            return decode_ansi(source[2:-1])
        if kind in {"string", "translated_string"}:
            return self._string(node, depth)
        if kind == "string_content":
            return re.sub(r"\\([$`\"\\\n])", r"\1", source)
        if kind in {"concatenation", "command_name"}:
            return self._joined(node, depth) if node.named_children else source
        if kind == "simple_expansion":
            return self._variable(source[1:])
        if kind == "expansion":
            return self._expansion(node, source, depth)
        if kind == "command_substitution":
            commands = [child for child in node.named_children if child.type != "comment"]
            if len(commands) == 1:
                return (self.output(commands[0], depth + 1) or UNKNOWN).rstrip("\n")
            return UNKNOWN
        if kind == "process_substitution":
            return "/dev/fd/63"
        if kind == "arithmetic_expansion":
            return UNKNOWN
        return UNKNOWN if node.named_children else source

    def _string(self, node: Node, depth: int) -> str:
        # Blanks at the edges of a part belong to no child: parts are joined with what is between them.
        data = node.text or b""
        pieces: list[str] = []
        position = 1
        for child in node.named_children:
            start, end = child.start_byte - node.start_byte, child.end_byte - node.start_byte
            pieces.append(_unescaped(data[position:start]))
            pieces.append(self.text(child, depth + 1))
            position = end
        pieces.append(_unescaped(data[position : len(data) - 1]))
        return "".join(pieces)

    def _joined(self, node: Node, depth: int) -> str:
        data = node.text or b""
        pieces: list[str] = []
        position = 0
        for child in node.named_children:
            start, end = child.start_byte - node.start_byte, child.end_byte - node.start_byte
            pieces.append(data[position:start].decode("utf-8", "replace").replace("$", ""))
            pieces.append(self.text(child, depth + 1))
            position = end
        pieces.append(data[position:].decode("utf-8", "replace"))
        return "".join(pieces)

    def _variable(self, name: str) -> str:
        held = self._variables.get(name)
        if held is not None:
            return next(iter(held)) if len(held) == 1 else UNKNOWN
        if name == "IFS":
            return " "
        return f"${name}" if name in _KEPT_VARIABLES else UNKNOWN

    def _expansion(self, node: Node, source: str, depth: int) -> str:
        children = node.named_children
        name = _source(children[0]) if children else ""
        if source == f"${{{name}}}":
            return self._variable(name)
        if source.startswith("${!"):
            target = self._variable(name)
            return self._variable(target) if UNKNOWN not in target else UNKNOWN
        default = re.match(r"^\$\{\w+:?[-=]", source)
        if default is not None and len(children) > 1 and name not in self._variables:
            return self.text(children[1], depth + 1)
        value = self._variable(name)
        sliced = re.match(r"^\$\{\w+:\s*(\d{1,5})(?::(\d{1,5}))?\}$", source)
        if sliced is not None and UNKNOWN not in value:
            start = int(sliced[1])
            return value[start : start + int(sliced[2])] if sliced[2] else value[start:]
        return UNKNOWN

    def output(self, node: Node, depth: int) -> str | None:
        """What a command prints, when it is an ``echo`` or ``printf`` of known words, or that decoded."""
        if depth > MAX_DEPTH:
            return None
        if node.type == "pipeline":
            stages = [child for child in node.named_children if child.type == "command"]
            if len(stages) != len(node.named_children):
                return None
            return self.piped(stages, depth)
        return printed(self.of_command(node, depth)) if node.type == "command" else None

    def piped(self, stages: Sequence[Node], depth: int = 0) -> str | None:
        """What a pipeline prints: known words, through decoders that are known."""
        if not stages:
            return None
        text = self.output(stages[0], depth + 1)
        for stage in stages[1:]:
            if text is None:
                return None
            text = through(self.of_command(stage, depth + 1), text)
        return text


def printed(words: Sequence[str]) -> str | None:
    """What ``echo`` and ``printf`` print."""
    program = words[0].rpartition("/")[2] if words else ""
    if program in _PLACES:
        return _PLACES[program]
    if program not in {"echo", "printf"}:
        return None
    arguments = list(words[1:])
    if words[0].endswith("echo"):
        escapes = False
        while arguments and re.fullmatch(r"-[neE]+", arguments[0]):
            escapes = escapes or "e" in arguments.pop(0)
        text = " ".join(arguments)
        text = decode_ansi(text) if escapes else text
    else:
        if arguments[:1] == ["--"]:
            arguments.pop(0)
        if not arguments:
            return None
        form, values = decode_ansi(arguments[0]), arguments[1:]
        text = re.sub(r"%(?:s|b|d)", "%s", form)
        if text.count("%s") and values:
            for value in values[: text.count("%s")]:
                text = text.replace("%s", value, 1)
            text += "".join(values[form.count("%s") :])
    return None if UNKNOWN in text else text


def through(words: Sequence[str], text: str) -> str | None:
    """What a decoder makes of a text; None for other programs."""
    program = words[0].rpartition("/")[2] if words else ""
    options = " ".join(words[1:])
    try:
        if program == "base64" and re.search(r"(?:^|\s)(?:-[a-zA-Z]*[dD]|--d)", options):
            return base64.b64decode(text.encode() + b"==").decode("utf-8", "replace")
        if program == "base32" and "-d" in options:
            return base64.b32decode(text.strip()).decode("utf-8", "replace")
        if program == "xxd" and "-r" in options:
            return binascii.unhexlify("".join(text.split())).decode("utf-8", "replace")
        if program == "rev":
            return "\n".join(line[::-1] for line in text.split("\n"))
        if program == "tr" and len(words) == 3:
            return _translated(text, words[1], words[2])
        if program in {"cat", "tee"} and len(words) == 1:
            return text
    except (ValueError, binascii.Error):
        return None
    return None


def _translated(text: str, old: str, new: str) -> str | None:
    if {old, new} == {"A-Za-z", "N-ZA-Mn-za-m"} or {old.lower(), new.lower()} == {"a-z", "n-za-m"}:
        return codecs.decode(text, "rot13")
    if len(old) == len(new) and "-" not in old and "[" not in old:
        return text.translate(str.maketrans(old, new))
    return None


def decode_ansi(text: str) -> str:
    """Undo the escapes of ``$'…'``, ``echo -e`` and ``printf``."""

    def one(match: re.Match[str]) -> str:
        escape = match[1]
        if escape[0] in "xuU" and len(escape) > 1:
            number = int(escape[1:], 16)
            return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else "?"
        if escape[0].isdigit():
            return chr(int(escape, 8)) if escape.isdecimal() and set(escape) <= set("01234567") else escape
        return _ANSI_LETTERS.get(escape, escape)

    return _ANSI.sub(one, text).replace(UNKNOWN, "")


def _size(node: Node) -> int:
    return node.end_byte - node.start_byte


def _source(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


def _unescaped(data: bytes) -> str:
    return re.sub(r"\\([$`\"\\\n])", r"\1", data.decode("utf-8", "replace"))
