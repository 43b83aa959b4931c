"""What names of a JavaScript program may stand for, and texts that are constant without looking like it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from code_safety.javascript.catalogue import GLOBAL_OBJECTS, module_name
from code_safety.shell.words import decode_ansi
from code_safety.syntax_trees import source_of

if TYPE_CHECKING:
    from tree_sitter import Node

MAX_ALTERNATIVES: Final = 8
MAX_DEPTH: Final = 30
MAX_TEXT: Final = 100_000
MAX_STEPS: Final = 100_000

_ESCAPED_IDENTIFIER: Final = re.compile(r"\\u(?:\{([0-9a-fA-F]{1,6})\}|([0-9a-fA-F]{4}))")
_CALLERS: Final = frozenset({"call", "apply", "bind"})
_IMPORTERS: Final = frozenset(
    {
        "require",
        "import",
        "module.require",
        "process.mainModule.require",
        "module.createRequire()",
        "require.main.require",
        "module._load",
    }
)


class Names:
    """Bindings of a program, flow-insensitive: a name may be all that it is bound to anywhere."""

    def __init__(self, found: dict[str, list[Node]]) -> None:
        self._bound: dict[str, list[Node | str]] = {}
        self._properties: dict[str, list[Node]] = {}
        self._known: dict[int, tuple[str, ...]] = {}
        self._texts: dict[int, str | None] = {}
        self._steps = 0
        for node in found.get("function", []):
            self._bound.setdefault(identifier(node.child_by_field_name("name")), [])
        for node in found.get("parameters", []):
            for child in node.named_children:
                self._bind(child, None)
        for node in found.get("declarator", []):
            self._bind(node.child_by_field_name("name"), node.child_by_field_name("value"))
        for node in found.get("assignment", []):
            self._bind(node.child_by_field_name("left"), node.child_by_field_name("right"))
        for node in found.get("import", []):
            self._import(node)

    def resolve(self, node: Node | None, depth: int = 0) -> tuple[str, ...]:
        """The dotted names that an expression may stand for."""
        if node is None or depth > MAX_DEPTH:
            return ()
        if node.id in self._known:
            return self._known[node.id]
        self._known[node.id] = ()  # What is bound to itself stands for nothing.
        found: dict[str, None] = {}
        for name in self._alternatives(node, depth + 1):
            found[_canonical(name)] = None
            if len(found) >= MAX_ALTERNATIVES:
                break
        self._known[node.id] = tuple(found)
        return self._known[node.id]

    def text(self, node: Node | None, depth: int = 0) -> str | None:
        """The text that an expression is, or None."""
        self._steps += 1
        if node is None or depth > MAX_DEPTH or self._steps > MAX_STEPS:
            return None
        if node.id not in self._texts:
            self._texts[node.id] = None
            text = self._text(node, depth + 1)
            self._texts[node.id] = text if text is None or len(text) <= MAX_TEXT else None
        return self._texts[node.id]

    def property_of(self, node: Node) -> str | None:
        """The name of the property that a member or subscript expression takes, or None."""
        if node.type == "member_expression":
            return identifier(node.child_by_field_name("property"))
        return self.text(node.child_by_field_name("index"))

    def _bind(self, target: Node | None, value: Node | None) -> None:
        if target is None:
            return
        if target.type == "identifier":
            held = self._bound.setdefault(identifier(target), [])
            if value is not None and len(held) < MAX_ALTERNATIVES:
                held.append(value)
        elif target.type in {"member_expression", "subscript_expression"} and value is not None:
            name = identifier(target.child_by_field_name("property"))
            held_values = self._properties.setdefault(name, [])
            if name and len(held_values) < MAX_ALTERNATIVES:
                held_values.append(value)
        elif target.type == "object_pattern":
            for child in target.named_children:
                self._bind_member(child, value)
        elif target.type in {"array_pattern", "assignment_pattern", "rest_pattern"}:
            for child in target.named_children[:50]:
                self._bind(child, None)

    def _bind_member(self, child: Node, value: Node | None) -> None:
        if child.type == "shorthand_property_identifier_pattern":
            key, target = identifier(child), child
        elif child.type == "pair_pattern":
            key, target = (
                source_of(child.child_by_field_name("key")).strip("'\""),
                child.child_by_field_name("value"),
            )
        elif child.type == "object_assignment_pattern":
            key, target = identifier(child.child_by_field_name("left")), child.child_by_field_name("left")
        else:
            return
        if target is not None and target.type == "assignment_pattern":
            target = target.child_by_field_name("left")
        if target is None or value is None:
            return
        held = self._bound.setdefault(identifier(target), [])
        for owner in self.resolve(value):
            held.append(f"{owner}.{key}")

    def _import(self, node: Node) -> None:
        module = module_name(self.text(node.child_by_field_name("source")) or "?")
        clause = next((child for child in node.named_children if child.type == "import_clause"), None)
        for child in clause.named_children if clause is not None else []:
            if child.type == "identifier":
                self._bound.setdefault(identifier(child), []).append(module)
            elif child.type == "namespace_import":
                self._bound.setdefault(identifier(child.named_children[0]), []).append(module)
            elif child.type == "named_imports":
                for each in child.named_children:
                    name = identifier(each.child_by_field_name("name"))
                    alias = each.child_by_field_name("alias")
                    self._bound.setdefault(identifier(alias) if alias is not None else name, []).append(
                        f"{module}.{name}"
                    )

    def _alternatives(self, node: Node, depth: int) -> Iterable[str]:
        kind = node.type
        if kind in {"identifier", "shorthand_property_identifier"}:
            yield from self._named(identifier(node), depth)
        elif kind in {"member_expression", "subscript_expression"}:
            yield from self._member(node, depth)
        elif kind in {
            "parenthesized_expression",
            "await_expression",
            "sequence_expression",
            "spread_element",
        }:
            inner = [child for child in node.named_children if child.type != "comment"]
            yield from self.resolve(inner[-1], depth) if inner else ()
        elif kind in {"ternary_expression", "binary_expression", "assignment_expression"}:
            for child in node.named_children[-2:]:
                yield from self.resolve(child, depth)
        elif kind == "call_expression":
            yield from self._called(node, depth)
        elif kind == "new_expression":
            yield from (f"{name}()" for name in self.resolve(node.child_by_field_name("constructor"), depth))
        elif kind == "array":
            for child in node.named_children[:MAX_ALTERNATIVES]:
                yield from self.resolve(child, depth)
        elif kind == "import":
            yield "import"
        elif kind == "this":
            yield "this"

    def _named(self, name: str, depth: int) -> Iterable[str]:
        held = self._bound.get(name)
        for value in held or ():
            yield from (value,) if isinstance(value, str) else self.resolve(value, depth)
        if held is None or name in {"eval", "require", "Function"}:
            yield name

    def _member(self, node: Node, depth: int) -> Iterable[str]:
        name = self.property_of(node)
        owners = self.resolve(node.child_by_field_name("object"), depth)
        if node.type == "subscript_expression" and name is None:
            yield from (f"{owner}[]" for owner in owners)
            return
        if name is None:
            return
        if name in _CALLERS or name == "default":
            yield from owners
        for owner in owners:
            yield f"{owner}.{name}"
        for value in self._properties.get(name, ()):
            yield from self.resolve(value, depth)
        if not owners:
            yield f"?.{name}"

    def _called(self, node: Node, depth: int) -> Iterable[str]:
        arguments = arguments_of(node)
        for name in self.resolve(node.child_by_field_name("function"), depth):
            if name in _IMPORTERS:
                specifier = self.text(arguments[0]) if arguments else None
                yield module_name(specifier) if specifier is not None else "?"
            elif name in {"Reflect.get"} and len(arguments) > 1:
                key = self.text(arguments[1])
                yield from (f"{owner}.{key}" for owner in self.resolve(arguments[0], depth) if key)
            elif name in {"Reflect.construct", "Reflect.apply"} and arguments:
                yield from (f"{owner}()" for owner in self.resolve(arguments[0], depth))
            elif name in {"util.promisify", "promisify"} and arguments:
                yield from self.resolve(arguments[0], depth)
            elif name.rpartition(".")[2] == "bind":
                yield name.removesuffix(".bind")
            else:
                function = node.child_by_field_name("function")
                bound = function is not None and source_of(function).endswith(".bind")
                yield name if bound else f"{name}()"

    def _text(self, node: Node, depth: int) -> str | None:
        kind = node.type
        if kind == "string":
            return _unescaped(source_of(node)[1:-1])
        if kind == "template_string":
            return self._template(node, depth)
        if kind == "number":
            return source_of(node).replace("_", "")
        if kind == "identifier":
            held = self._bound.get(identifier(node), [])
            return self.text(held[0], depth) if len(held) == 1 and not isinstance(held[0], str) else None
        if kind == "parenthesized_expression" and node.named_children:
            return self.text(node.named_children[-1], depth)
        if kind == "binary_expression" and source_of(node.child_by_field_name("operator")) == "+":
            return self._sum(node, depth)
        if kind == "call_expression":
            return self._call_text(node, depth)
        return None

    def _sum(self, node: Node, depth: int) -> str | None:
        # Long sums lean to the left: they are taken apart in a loop, so that no depth is used up.
        operands: list[Node] = []
        current: Node | None = node
        while current is not None and current.type == "binary_expression" and len(operands) < 5_000:
            right = current.child_by_field_name("right")
            if right is not None:
                operands.append(right)
            current = current.child_by_field_name("left")
        parts = [self.text(each, depth) for each in (current, *reversed(operands))]
        return None if any(part is None for part in parts) else "".join(part or "" for part in parts)

    def _template(self, node: Node, depth: int) -> str | None:
        pieces: list[str] = []
        for child in node.named_children:
            if child.type == "template_substitution":
                text = self.text(child.named_children[0], depth) if child.named_children else None
                if text is None:
                    return None
                pieces.append(text)
            else:
                pieces.append(_unescaped(source_of(child)))
        return "".join(pieces)

    def _call_text(self, node: Node, depth: int) -> str | None:
        function = node.child_by_field_name("function")
        arguments = arguments_of(node)
        if function is None or function.type not in {
            "member_expression",
            "identifier",
            "subscript_expression",
        }:
            return None
        method = identifier(function) if function.type == "identifier" else self.property_of(function)
        owner = function.child_by_field_name("object")
        first = self.text(arguments[0], depth) if arguments else None
        if method == "join" and owner is not None:
            values = self._array(owner, depth)
            return None if values is None else (first if first is not None else ",").join(values)
        if method in {"fromCharCode", "fromCodePoint"}:
            return _characters([self.text(argument, depth) for argument in arguments])
        if method in {"atob", "decodeURIComponent", "unescape", "decodeURI"} and first is not None:
            return _base64(first) if method == "atob" else unquote(first)
        if method == "toString" and owner is not None and owner.type == "call_expression":
            return self._buffer(owner, depth)
        if method in {"concat", "toLowerCase", "toUpperCase", "trim", "replace"} and owner is not None:
            held = self.text(owner, depth)
            if held is None:
                return None
            rest = [self.text(argument, depth) for argument in arguments]
            if method == "concat":
                return None if None in rest else held + "".join(each or "" for each in rest)
            if method == "replace" and len(rest) == 2 and rest[0] is not None and rest[1] is not None:
                return held.replace(rest[0], rest[1], 1)
            return {"toLowerCase": held.lower(), "toUpperCase": held.upper(), "trim": held.strip()}.get(
                method or ""
            )
        return None

    def _buffer(self, node: Node, depth: int) -> str | None:
        if not any(
            name in {"Buffer.from()", "Buffer()", "buffer.Buffer.from()"}
            for name in self.resolve(node, depth)
        ):
            return None
        arguments = arguments_of(node)
        text = self.text(arguments[0], depth) if arguments else None
        coding = self.text(arguments[1], depth) if len(arguments) > 1 else "utf8"
        if text is None:
            return None
        if coding in {"base64", "base64url"}:
            return _base64(text)
        try:
            return binascii.unhexlify(text).decode("utf-8", "replace") if coding == "hex" else text
        except (binascii.Error, ValueError):
            return None

    def _array(self, node: Node, depth: int) -> list[str] | None:
        if node.type == "array":
            values = [self.text(child, depth) for child in node.named_children]
            return None if None in values else [value or "" for value in values]
        if node.type == "identifier":
            held = self._bound.get(identifier(node), [])
            return (
                self._array(held[0], depth + 1)
                if len(held) == 1 and not isinstance(held[0], str) and depth < MAX_DEPTH
                else None
            )
        function = node.child_by_field_name("function") if node.type == "call_expression" else None
        owner = function.child_by_field_name("object") if function is not None else None
        if function is None or owner is None:
            return None
        method = self.property_of(function) if function.type == "member_expression" else None
        if method == "reverse" and depth < MAX_DEPTH:
            values = self._array(owner, depth + 1)
            return None if values is None else values[::-1]
        text = self.text(owner, depth)
        if method == "split" and text is not None:
            arguments = arguments_of(node)
            separator = self.text(arguments[0], depth) if arguments else None
            return text.split(separator) if separator else list(text)
        return None


def identifier(node: Node | None) -> str:
    """A name as JavaScript reads it: escapes in it undone."""
    source = source_of(node)
    if "\\" not in source:
        return source
    return _ESCAPED_IDENTIFIER.sub(lambda found: _character(int(found[1] or found[2], 16)), source)


def arguments_of(node: Node) -> list[Node]:
    """The arguments of a call."""
    held = node.child_by_field_name("arguments")
    return [child for child in held.named_children if child.type != "comment"] if held is not None else []


def _character(number: int) -> str:
    return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else "?"


def _characters(numbers: list[str | None]) -> str | None:
    found: list[str] = []
    for number in numbers:
        if number is None or len(number) > 8:
            return None
        try:
            found.append(_character(int(number, 0)))
        except ValueError:
            return None
    return "".join(found)


def _base64(text: str) -> str | None:
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/").encode() + b"==").decode(
            "utf-8", "replace"
        )
    except (binascii.Error, ValueError):
        return None


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    return decode_ansi(_ESCAPED_IDENTIFIER.sub(lambda found: _character(int(found[1] or found[2], 16)), text))


def _canonical(name: str) -> str:
    parts = [part for part in name.split(".")[:12] if part != "promises"]
    while len(parts) > 1 and parts[0] in GLOBAL_OBJECTS | {"this"} and parts[1] != "constructor":
        parts = parts[1:]
    return ".".join(parts)
