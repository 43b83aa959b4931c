"""What the names of a program may stand for, as dotted names of the standard library and of packages.

Flow-insensitive on purpose: a name that is bound to something dangerous anywhere may be it everywhere.
``x = os`` and then ``x.system`` is ``os.system``; a call's result is written ``socket.socket()``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import Final

from code_safety.python.folding import Folding

MAX_ALTERNATIVES: Final = 8
MAX_DEPTH: Final = 30

ALWAYS_BUILTIN: Final = frozenset(
    {"eval", "exec", "compile", "__import__", "getattr", "open", "globals", "vars"}
)
"""Builtins that keep their meaning here even where the program binds the name itself."""

_SAME_MODULE: Final = {
    "posix": "os",
    "nt": "os",
    "_pickle": "pickle",
    "cPickle": "pickle",
    "_socket": "socket",
    "_ctypes": "ctypes",
    "_posixsubprocess": "subprocess",
    "_winapi": "subprocess",
    "_imp": "imp",
    "_thread": "threading",
    "_marshal": "marshal",
}
_REEXPORTED: Final = frozenset(
    {"os", "sys", "subprocess", "builtins", "socket", "ctypes", "shutil", "importlib", "pickle"}
)
_NAMESPACES: Final = ("globals()", "locals()", "vars()")
_IMPORTERS: Final = frozenset({"__import__", "importlib.import_module", "importlib.reload", "pydoc.locate"})
_GETTERS: Final = frozenset({"getattr", "object.__getattribute__", "inspect.getattr_static"})
_TAKING: Final = (".get", ".__getitem__", ".pop", ".setdefault")


class Names:
    """Bindings of a program: every import, assignment, parameter and returned value."""

    def __init__(self, nodes: Iterable[ast.AST]) -> None:
        self._imports: dict[str, list[str]] = {}
        self._stars: list[str] = []
        self._bound: dict[str, list[ast.expr]] = {}
        self._attributes: dict[str, list[ast.expr]] = {}
        self._parameters: dict[str, list[str]] = {}
        self._returns: dict[str, list[ast.expr]] = {}
        self._known: dict[int, tuple[str, ...]] = {}
        self._handed_over: set[str] = set()
        calls: list[ast.Call] = []
        for node in nodes:
            if isinstance(node, ast.Call):
                calls.append(node)
            else:
                self._collect(node)
        for call in calls:
            self._bind_arguments(call)
        self.folding = Folding(self.bound, self.resolve)

    @property
    def imported(self) -> frozenset[str]:
        """The dotted names that the program imports."""
        return frozenset(path for paths in self._imports.values() for path in paths)

    def bound(self, name: str) -> Sequence[ast.expr]:
        """The expressions that a name is bound to."""
        return self._bound.get(name, ())

    def is_module(self, node: ast.expr) -> bool:
        """Tell whether an expression is a name under which a module was imported."""
        return isinstance(node, ast.Name) and node.id in self._imports

    def is_spelled_out(self, node: ast.expr) -> bool:
        """Tell whether an expression names a thing as it was imported: ``os.system`` after ``import os``.

        A name that it was assigned to counts; what was looked up, handed over or reached through another
        module does not.
        """
        if isinstance(node, ast.Name) and node.id not in self._imports:
            bound = self._bound.get(node.id)
            unbound = bound is None and not self._stars
            if node.id in self._handed_over:
                return False
            return unbound or (bound is not None and len(bound) == 1 and self._is_imported(bound[0]))
        return self._is_imported(node)

    def _is_imported(self, node: ast.expr) -> bool:
        attributes: list[str] = []
        while isinstance(node, ast.Attribute):
            attributes.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return False
        return any(
            _canonical(full := ".".join((path, *reversed(attributes)))) == full
            for path in self._imports.get(node.id, ())
        )

    def resolve(self, node: ast.expr) -> tuple[str, ...]:
        """The dotted names that an expression may stand for; empty when none is known."""
        return self._resolve(node, 0)

    def _collect(self, node: ast.AST) -> None:
        match node:
            case ast.Import(names=aliases):
                for alias in aliases:
                    name = alias.asname or alias.name.partition(".")[0]
                    self._import(name, alias.name if alias.asname else name)
            case ast.ImportFrom(module=module, names=aliases):
                for alias in aliases:
                    if alias.name == "*":
                        self._stars.append(module or "")
                    else:
                        self._import(
                            alias.asname or alias.name, f"{module}.{alias.name}" if module else alias.name
                        )
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._bind(target, value)
            case (
                ast.AnnAssign(target=target, value=ast.expr() as value)
                | ast.NamedExpr(target=target, value=value)
            ):
                self._bind(target, value)
            case ast.AugAssign(target=ast.Name(id=name), op=ast.Add(), value=value):
                held = self._bound.get(name, [])
                if len(held) == 1:
                    held[0] = ast.BinOp(held[0], ast.Add(), value)
            case ast.For(target=target, iter=items) | ast.AsyncFor(target=target, iter=items):
                self._bind_items(target, items)
            case ast.comprehension(target=target, iter=items):
                self._bind_items(target, items)
            case ast.withitem(context_expr=value, optional_vars=ast.expr() as target):
                self._bind(target, value)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._define(node.name, node.args)
                self._returns.setdefault(node.name, []).extend(_returned(node))
            case ast.Lambda(args=arguments):
                self._define("", arguments)
            case _:
                pass

    def _import(self, name: str, path: str) -> None:
        held = self._imports.setdefault(name, [])
        if path not in held:
            held.append(path)

    def _define(self, name: str, arguments: ast.arguments) -> None:
        names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
        for argument in (*names, *(argument.arg for argument in arguments.kwonlyargs)):
            self._bound.setdefault(argument, [])
        for argument, default in zip(reversed(names), reversed(arguments.defaults), strict=False):
            self._add(self._bound, argument, default)
        if name:
            self._bound.setdefault(name, [])
            self._parameters.setdefault(name, names)

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        match target:
            case ast.Name(id=name):
                self._add(self._bound, name, value)
                if isinstance(value, ast.Lambda):
                    self._parameters.setdefault(name, [argument.arg for argument in value.args.args])
            case ast.Attribute(attr=name):
                self._add(self._attributes, name, value)
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                values = value.elts if isinstance(value, ast.Tuple | ast.List) else []
                for number, each in enumerate(targets):
                    if len(values) == len(targets):
                        self._bind(each, values[number])
                    elif isinstance(each, ast.Name):
                        self._bound.setdefault(each.id, [])
            case _:
                pass

    def _bind_items(self, target: ast.expr, items: ast.expr) -> None:
        values = items.elts if isinstance(items, ast.Tuple | ast.List | ast.Set) else []
        if isinstance(target, ast.Name):
            self._bound.setdefault(target.id, [])
        for value in values[:MAX_ALTERNATIVES]:
            self._bind(target, value)

    def _bind_arguments(self, call: ast.Call) -> None:
        match call.func:
            case ast.Name(id=name) if name in self._parameters:
                names = self._parameters[name]
            case ast.Lambda(args=arguments):
                names = [argument.arg for argument in arguments.args]
            case _:
                return
        self._handed_over.update(names)
        for name, value in zip(names, call.args, strict=False):
            self._add(self._bound, name, value)
        for keyword in call.keywords:
            if keyword.arg in names:
                self._add(self._bound, keyword.arg or "", keyword.value)

    @staticmethod
    def _add(table: dict[str, list[ast.expr]], name: str, value: ast.expr) -> None:
        held = table.setdefault(name, [])
        if len(held) < MAX_ALTERNATIVES:
            held.append(value)

    def _resolve(self, node: ast.expr, depth: int) -> tuple[str, ...]:
        key = id(node)
        if key in self._known:
            return self._known[key]
        if depth > MAX_DEPTH:
            return ()
        self._known[key] = ()  # What is bound to itself stands for nothing.
        found: dict[str, None] = {}
        for name in self._alternatives(node, depth + 1):
            found[_canonical(name)] = None
            if len(found) >= MAX_ALTERNATIVES:
                break
        self._known[key] = tuple(found)
        return self._known[key]

    def _alternatives(self, node: ast.expr, depth: int) -> Iterable[str]:
        match node:
            case ast.Name(id=name):
                yield from self._named(name, depth)
            case ast.Attribute(value=owner, attr=attribute):
                owners = self._resolve(owner, depth)
                for each in owners:
                    yield each if attribute == "__call__" else f"{each}.{attribute}"
                for value in self._attributes.get(attribute, ()):
                    yield from self._resolve(value, depth)
                if not owners:
                    yield f"?.{attribute}"
            case ast.Call():
                yield from self._called(node, depth)
            case ast.Subscript(value=owner, slice=key):
                yield from self._item(owner, key, depth)
            case ast.IfExp(body=first, orelse=second):
                yield from (*self._resolve(first, depth), *self._resolve(second, depth))
            case ast.BoolOp(values=values):
                for value in values[:MAX_ALTERNATIVES]:
                    yield from self._resolve(value, depth)
            case ast.NamedExpr(value=value) | ast.Await(value=value) | ast.Starred(value=value):
                yield from self._resolve(value, depth)
            case _:
                pass

    def _named(self, name: str, depth: int) -> Iterable[str]:
        if name == "__builtins__":
            yield "builtins"
        yield from self._imports.get(name, ())
        for value in self._bound.get(name, ()):
            yield from self._resolve(value, depth)
        unbound = name not in self._imports and name not in self._bound
        if unbound or name in ALWAYS_BUILTIN:
            yield name
        if unbound:
            yield from (f"{module}.{name}" for module in self._stars)

    def _called(self, node: ast.Call, depth: int) -> Iterable[str]:
        if isinstance(node.func, ast.Lambda):
            yield from self._resolve(node.func.body, depth)
            return
        if isinstance(node.func, ast.Name):
            for value in self._returns.get(node.func.id, ())[:MAX_ALTERNATIVES]:
                yield from self._resolve(value, depth)
        first = node.args[0] if node.args else None
        for name in self._resolve(node.func, depth):
            yield from self._result(name, node, first, depth)

    def _result(self, name: str, node: ast.Call, first: ast.expr | None, depth: int) -> Iterable[str]:
        if first is None:
            yield f"{name}()"
        elif name in _IMPORTERS:
            module = self.folding.text(first)
            whole = name != "__import__" or len(node.args) > 3 or bool(node.keywords)
            if module:
                yield module if whole else module.partition(".")[0]
            yield from self._resolve(first, depth) if name == "importlib.reload" else ()
        elif name in _GETTERS and len(node.args) > 1:
            attribute = self.folding.text(node.args[1])
            owners = self._resolve(first, depth) or ("?",)
            yield from (f"{owner}.{attribute}" for owner in owners if attribute)
        elif name.endswith((".__getattribute__", ".__getattr__")):
            attribute = self.folding.text(first)
            yield f"{name.rpartition('.')[0]}.{attribute or '?'}"
        elif name == "vars":
            yield from (f"{owner}.__dict__" for owner in self._resolve(first, depth))
        elif name in {"functools.partial", "staticmethod", "classmethod", "functools.wraps"}:
            yield from self._resolve(first, depth)
        elif name == "operator.attrgetter()" or name == "operator.itemgetter()":
            getter = node.func.args[0] if isinstance(node.func, ast.Call) and node.func.args else None
            attribute = self.folding.text(getter)
            yield from (f"{owner}.{attribute}" for owner in self._resolve(first, depth) if attribute)
        elif name.endswith(_TAKING):
            yield from self._taken(name.rpartition(".")[0], first, depth)
        else:
            yield f"{name}()"

    def _item(self, owner: ast.expr, key: ast.expr, depth: int) -> Iterable[str]:
        match owner:
            case ast.List(elts=values) | ast.Tuple(elts=values) | ast.Dict(values=values):
                for value in values[:MAX_ALTERNATIVES]:
                    yield from self._resolve(value, depth)
            case ast.Name(id=name):
                for value in self._bound.get(name, ()):
                    if isinstance(value, ast.List | ast.Tuple | ast.Dict):
                        yield from self._item(value, key, depth)
            case _:
                pass
        for each in self._resolve(owner, depth):
            yield from self._taken(each, key, depth)

    def _taken(self, owner: str, key: ast.expr, depth: int) -> Iterable[str]:
        text = self.folding.text(key)
        if text is None:
            yield f"{owner}[]"
        elif owner == "sys.modules":
            yield text
        elif owner in _NAMESPACES:
            yield from self._named(text, depth)
        elif owner == "builtins":
            yield text
        elif owner.endswith(".__dict__"):
            yield f"{owner.removesuffix('.__dict__')}.{text}"
        else:
            yield f"{owner}[]"


def _returned(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.expr]:
    """What a function returns at its own top level or one block down; deeper ones are not followed."""
    found: list[ast.expr] = []
    for statement in function.body[:200]:
        inner = getattr(statement, "body", [])
        for each in (statement, *inner[:50]):
            if isinstance(each, ast.Return) and each.value is not None:
                found.append(each.value)
    return found[:MAX_ALTERNATIVES]


def _canonical(name: str) -> str:
    """One spelling for each thing: ``posix.system`` and ``pathlib.os.system`` are ``os.system``."""
    if "." not in name:
        return _SAME_MODULE.get(name, name)
    parts = name.split(".")[:12]
    for position in range(len(parts) - 1, 0, -1):
        if parts[position].lstrip("_") in _REEXPORTED:
            parts = [parts[position].lstrip("_"), *parts[position + 1 :]]
            break
    parts[0] = _SAME_MODULE.get(parts[0], parts[0])
    if parts[0] == "builtins" and len(parts) > 1:
        parts = ["builtins", *parts[2:]] if parts[1] == "__dict__" else parts[1:]
    if parts[:2] in (["io", "open"], ["_io", "open"], ["codecs", "open"]):
        parts = ["open", *parts[2:]]
    if parts[:2] == ["importlib", "__import__"]:
        parts = parts[1:]
    return ".".join(parts)
