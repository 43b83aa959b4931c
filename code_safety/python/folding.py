"""The values of expressions that are constant but do not look like it: joined, decoded, reversed texts.

Everything is bounded in steps, depth and size: an expression past a bound has no value here.
"""

from __future__ import annotations

import ast
import base64
import binascii
import codecs
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

MAX_TEXT: Final = 100_000
MAX_STEPS: Final = 100_000
MAX_DEPTH: Final = 40
MAX_BITS: Final = 4096

Folded = str | bytes | int
Lookup = Callable[[str], Sequence[ast.expr]]
Qualify = Callable[[ast.expr], Sequence[str]]

_DECODERS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "base64.b64decode": lambda data: base64.b64decode(data + b"=="),
    "base64.standard_b64decode": lambda data: base64.b64decode(data + b"=="),
    "base64.urlsafe_b64decode": lambda data: base64.urlsafe_b64decode(data + b"=="),
    "base64.decodebytes": base64.decodebytes,
    "binascii.a2b_base64": binascii.a2b_base64,
    "base64.b32decode": base64.b32decode,
    "base64.b16decode": base64.b16decode,
    "base64.b85decode": base64.b85decode,
    "base64.a85decode": base64.a85decode,
    "binascii.unhexlify": binascii.unhexlify,
    "binascii.a2b_hex": binascii.unhexlify,
    "zlib.decompress": lambda data: zlib.decompressobj().decompress(data, MAX_TEXT),
    "gzip.decompress": lambda data: zlib.decompressobj(31).decompress(data, MAX_TEXT),
}
DECODING_CALLS: Final = frozenset(
    {
        *_DECODERS,
        "bytes.fromhex",
        "bytearray.fromhex",
        "codecs.decode",
        "codecs.getdecoder",
        "bz2.decompress",
        "lzma.decompress",
        "marshal.loads",
        "pickle.loads",
        "cryptography.fernet.Fernet().decrypt",
    }
)
_WIDE: Final = re.compile(r"[0-9]{4}")
_CODECS: Final = frozenset({"rot13", "rot_13", "hex", "hex_codec", "base64", "base64_codec", "zip", "zlib"})
_ENCODINGS: Final = frozenset(
    {"utf-8", "utf8", "ascii", "latin-1", "latin1", "utf-16", "utf-16-le", "unicode_escape", "unicode-escape"}
)


class Folding:
    """Finds constant values; `lookup` gives what a name was bound to, `qualify` what a callee may be."""

    def __init__(self, lookup: Lookup, qualify: Qualify) -> None:
        self._lookup = lookup
        self._qualify = qualify
        self._steps = 0
        self._known: dict[int, Folded | None] = {}

    def text(self, node: ast.expr | None) -> str | None:
        """The text that an expression is (bytes count as the text they hold), or None."""
        value = self._fold(node, 0) if node is not None else None
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        return value if isinstance(value, str) else None

    def number(self, node: ast.expr | None) -> int | None:
        """The integer that an expression is, or None."""
        value = self._fold(node, 0) if node is not None else None
        return value if isinstance(value, int) else None

    def pieces(self, node: ast.expr) -> list[str]:
        """The known texts within an expression, in order, whether or not the whole is known."""
        whole = self.text(node)
        if whole is not None:
            return [whole]
        held = (each for each in ast.walk(node) if isinstance(each, ast.Constant))
        return [each.value for each in held if isinstance(each.value, str)][:50]

    def _fold(self, node: ast.expr, depth: int) -> Folded | None:
        self._steps += 1
        if depth > MAX_DEPTH or self._steps > MAX_STEPS:
            return None
        if isinstance(node, ast.Constant):
            value = node.value
            if isinstance(value, float):
                return int(value) if value.is_integer() and abs(value) < 1e18 else None
            return value if isinstance(value, str | bytes | int) else None
        known = self._known
        key = id(node)
        if key not in known:
            known[key] = None  # A name that is bound to itself has no value.
            try:
                known[key] = _bounded(self._fold_other(node, depth + 1))
            except (ValueError, TypeError, ArithmeticError, LookupError, zlib.error, EOFError, MemoryError):
                known[key] = None
        return known[key]

    def _fold_other(self, node: ast.expr, depth: int) -> Folded | None:
        match node:
            case ast.Name(id=name):
                bound = self._lookup(name)
                return self._fold(bound[-1], depth) if len(bound) == 1 else None
            case ast.BinOp():
                return self._binary(node, depth)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                value = self._fold(operand, depth)
                return -value if isinstance(value, int) else None
            case ast.JoinedStr(values=values):
                return self._joined(values, depth)
            case ast.FormattedValue(value=value, format_spec=None):
                folded = self._fold(value, depth)
                return None if folded is None else str(folded)
            case ast.Subscript():
                return self._subscript(node, depth)
            case ast.NamedExpr(value=value):
                return self._fold(value, depth)
            case ast.Call():
                return self._call(node, depth)
            case _:
                return None

    def _binary(self, node: ast.BinOp, depth: int) -> Folded | None:
        if isinstance(node.op, ast.Add):
            return self._sum(node, depth)
        left, right = self._fold(node.left, depth), self._fold(node.right, depth)
        if isinstance(node.op, ast.Mod) and isinstance(left, str):
            values = self._sequence(node.right, depth) or ([right] if right is not None else None)
            # A width would let a short program ask for a long text.
            widens = "*" in left or _WIDE.search(left) is not None
            return None if values is None or widens else left % tuple(values)
        if left is None or right is None:
            return None
        if isinstance(left, int) and isinstance(right, int):
            return _arithmetic(node.op, left, right)
        if isinstance(node.op, ast.Mult):
            if isinstance(left, int):
                left, right = right, left
            if isinstance(right, int) and not isinstance(left, int) and len(left) * right <= MAX_TEXT:
                return left * right
        return None

    def _sum(self, node: ast.BinOp, depth: int) -> Folded | None:
        # Long sums lean to the left: they are taken apart in a loop, so that no depth is used up.
        operands: list[ast.expr] = []
        current: ast.expr = node
        while isinstance(current, ast.BinOp) and isinstance(current.op, ast.Add):
            operands.append(current.right)
            current = current.left
        values = [self._fold(operand, depth) for operand in (current, *reversed(operands))]
        return _join(values, "")

    def _joined(self, values: list[ast.expr], depth: int) -> str | None:
        parts = [self._fold(value, depth) for value in values]
        return None if any(part is None for part in parts) else "".join(str(part) for part in parts)

    def _subscript(self, node: ast.Subscript, depth: int) -> Folded | None:
        value = self._fold(node.value, depth)
        if isinstance(node.slice, ast.Slice):
            bounds = [node.slice.lower, node.slice.upper, node.slice.step]
            folded = [None if bound is None else self._fold(bound, depth) for bound in bounds]
            numbers = [number if isinstance(number, int) else None for number in folded]
            if any(
                bound is not None and number is None for bound, number in zip(bounds, numbers, strict=True)
            ):
                return None
            slicing = slice(*numbers)
            return value[slicing] if isinstance(value, str | bytes) else None
        index = self._fold(node.slice, depth)
        if isinstance(value, str | bytes) and isinstance(index, int):
            return value[index]
        held = self._sequence(node.value, depth)
        return held[index] if held is not None and isinstance(index, int) else None

    def _call(self, node: ast.Call, depth: int) -> Folded | None:
        arguments = node.args
        if isinstance(node.func, ast.Attribute):
            folded = self._method(node.func, node, depth)
            if folded is not None:
                return folded
        names = self._qualify(node.func)
        if not names:
            return None
        name = names[0]
        first = arguments[0] if arguments else None
        if first is None:
            return None
        if name in {"bytes", "bytearray"}:
            numbers = self._sequence(first, depth)
            return _bytes(numbers) if numbers is not None else self._as_bytes(first, depth)
        value = self._fold(first, depth)
        if value is None:
            return None
        if name in {"bytes.fromhex", "bytearray.fromhex"} and isinstance(value, str):
            return bytes.fromhex(value)
        if name == "chr" and isinstance(value, int):
            return chr(value)
        if name == "ord" and isinstance(value, str | bytes) and len(value) == 1:
            return ord(value)
        if name == "str":
            second = self._fold(arguments[1], depth) if len(arguments) > 1 else "utf-8"
            return _decode(value, second) if isinstance(value, bytes) else str(value)
        if name == "int" and isinstance(value, str) and len(value) < 100:
            base = self._fold(arguments[1], depth) if len(arguments) > 1 else 10
            return int(value, base) if isinstance(base, int) else None
        if name == "codecs.decode":
            return _decode(value, self._fold(arguments[1], depth) if len(arguments) > 1 else "utf-8")
        decoder = _DECODERS.get(name)
        data = value.encode() if isinstance(value, str) else value
        return decoder(data) if decoder is not None and isinstance(data, bytes) else None

    def _as_bytes(self, node: ast.expr, depth: int) -> bytes | None:
        value = self._fold(node, depth)
        return value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else None

    def _method(self, func: ast.Attribute, node: ast.Call, depth: int) -> Folded | None:
        owner = self._fold(func.value, depth)
        if not isinstance(owner, str | bytes):
            return None
        if func.attr == "join" and len(node.args) == 1:
            values = self._sequence(node.args[0], depth)
            return None if values is None else _join(values, owner)
        arguments = [self._fold(argument, depth) for argument in node.args]
        if any(argument is None for argument in arguments):
            return None
        if func.attr == "decode" and isinstance(owner, bytes):
            return _decode(owner, arguments[0] if arguments else "utf-8")
        if func.attr == "encode" and isinstance(owner, str):
            return owner.encode(errors="replace")
        if func.attr == "format" and isinstance(owner, str) and not node.keywords:
            simple = "{" in owner and all(isinstance(argument, str | int) for argument in arguments)
            return owner.format(*arguments) if simple and not _reaches_into(owner) else None
        if func.attr in {"lower", "upper", "strip", "swapcase", "title", "capitalize"} and not arguments:
            changed: object = getattr(owner, func.attr)()
            return changed if isinstance(changed, str | bytes) else None
        if func.attr == "replace" and isinstance(owner, str) and len(arguments) == 2:
            old, new = arguments
            fits = isinstance(old, str) and isinstance(new, str) and len(owner) * (len(new) + 1) <= MAX_TEXT
            return owner.replace(str(old), str(new)) if fits else None
        return None

    def _sequence(self, node: ast.expr, depth: int) -> list[Folded] | None:
        """The values of a list, tuple, reversed text or mapped sequence of constants."""
        self._steps += 1
        if depth > MAX_DEPTH or self._steps > MAX_STEPS:
            return None
        depth += 1
        match node:
            case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
                return _all_known([self._fold(element, depth) for element in elements])
            case ast.Name(id=name):
                bound = self._lookup(name)
                return self._sequence(bound[-1], depth) if len(bound) == 1 else None
            case ast.Call(func=ast.Name(id="reversed"), args=[only]):
                held = self._sequence(only, depth)
                return None if held is None else held[::-1]
            case ast.Call(func=ast.Name(id="map"), args=[function, only]):
                return self._mapped(function, only, depth)
            case ast.Call(func=ast.Name(id="list" | "tuple" | "iter"), args=[only]):
                return self._sequence(only, depth)
            case ast.Call(func=ast.Attribute(value=owner, attr="split"), args=arguments):
                text = self._fold(owner, depth)
                separator = self._fold(arguments[0], depth) if arguments else None
                if not isinstance(text, str) or not isinstance(separator, str | None):
                    return None
                return list(text.split(separator))
            case ast.GeneratorExp() | ast.ListComp():
                return self._comprehension(node, depth)
            case _:
                value = self._fold(node, depth)
                return list(value) if isinstance(value, str | bytes) else None

    def _mapped(self, function: ast.expr, items: ast.expr, depth: int) -> list[Folded] | None:
        held = self._sequence(items, depth)
        if held is None or "chr" not in self._qualify(function):
            return None
        return [chr(item) for item in held if isinstance(item, int)]

    def _comprehension(self, node: ast.GeneratorExp | ast.ListComp, depth: int) -> list[Folded] | None:
        """``chr(c) for c in numbers``, with an arithmetic step at most; anything else has no value."""
        if len(node.generators) != 1 or node.generators[0].ifs:
            return None
        generator = node.generators[0]
        held = self._sequence(generator.iter, depth)
        if held is None or not isinstance(generator.target, ast.Name) or len(held) > 10_000:
            return None
        name = generator.target.id
        values: list[Folded | None] = []
        for item in held:
            inner = Folding(
                lambda asked, item=item: [ast.Constant(item)] if asked == name else self._lookup(asked),
                self._qualify,
            )
            inner._steps = self._steps
            values.append(inner._fold(node.elt, depth))
            self._steps = inner._steps
        return _all_known(values)


def _bounded(value: Folded | None) -> Folded | None:
    if isinstance(value, int):
        return value if value.bit_length() <= MAX_BITS else None
    return value if value is not None and len(value) <= MAX_TEXT else None


def _all_known(values: list[Folded | None]) -> list[Folded] | None:
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else None


def _join(values: Sequence[Folded | None], separator: str | bytes) -> Folded | None:
    if values and all(isinstance(value, int) for value in values) and not separator:
        return sum(value for value in values if isinstance(value, int))
    if all(isinstance(value, bytes) for value in values):
        glue = separator.encode() if isinstance(separator, str) else separator
        return glue.join(value for value in values if isinstance(value, bytes))
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) != len(values) or isinstance(separator, bytes):
        return None
    return separator.join(texts)


def _bytes(numbers: list[Folded]) -> bytes:
    return bytes([number for number in numbers if isinstance(number, int)])


def _decode(value: Folded, codec: Folded | None) -> str | bytes | None:
    if not isinstance(codec, str) or isinstance(value, int):
        return None
    name = codec.lower()
    if name in _CODECS:
        if name.startswith(("zip", "zlib")):
            return zlib.decompressobj().decompress(value, MAX_TEXT) if isinstance(value, bytes) else None
        rotates = name.startswith("rot")
        subject = value if rotates or isinstance(value, bytes) else value.encode()
        decoded: object = codecs.decode(subject, name)  # pyright: ignore[reportArgumentType, reportCallIssue, reportUnknownVariableType]
        return decoded if isinstance(decoded, str | bytes) else None
    if isinstance(value, bytes) and name in _ENCODINGS:
        return value.decode(name, "replace")
    return None


def _arithmetic(operator: ast.operator, left: int, right: int) -> int | None:
    match operator:
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.BitXor():
            return left ^ right
        case ast.FloorDiv() | ast.Div():
            return left // right if right else None
        case ast.Mod():
            return left % right if right else None
        case ast.Pow():
            fits = 0 <= right <= MAX_BITS and left.bit_length() * right <= MAX_BITS
            return left**right if fits else None
        case ast.LShift():
            return left << right if 0 <= right <= MAX_BITS else None
        case _:
            return None


def _reaches_into(template: str) -> bool:
    return any(mark in template for mark in ("!", ":", ".", "["))
