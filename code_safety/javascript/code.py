"""What can be read off a JavaScript program."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from code_safety.findings import Place, Rule, Severity
from code_safety.inspection import Inspection
from code_safety.javascript.catalogue import (
    ARGV_CALLS,
    DELETING,
    HARMLESS_VARIABLES,
    MODULES,
    NAMED,
    READING,
    SENSITIVE_OWNERS,
    SHELL_CALLS,
    TEXT_AS_CODE,
    TIMERS,
    WRITING,
    module_name,
)
from code_safety.javascript.names import Names, arguments_of
from code_safety.paths import is_wide, judge_read, judge_text, judge_write
from code_safety.plain_text import inspect_plain_text
from code_safety.secret_patterns import find_secret, is_secret_name
from code_safety.syntax_trees import TooInvolved, byte_lines, captures, place_of, source_of

if TYPE_CHECKING:
    from tree_sitter import Node

_QUERY: Final = """
(variable_declarator) @declarator
(assignment_expression) @assignment
(import_statement) @import
(export_statement source: (_)) @import
(function_declaration) @function
(generator_function_declaration) @function
(class_declaration) @function
(formal_parameters) @parameters
(call_expression) @call
(new_expression) @new
(member_expression) @member
(subscript_expression) @member
(identifier) @identifier
(shorthand_property_identifier) @identifier
(string) @string
(template_string) @string
(while_statement) @loop
(do_statement) @loop
(for_statement) @loop
(ERROR) @error
"""
_DECODING: Final = re.compile(
    r"\batob\b|base64|fromCharCode|fromCodePoint|\bunescape\b|decodeURI|['\"]hex['\"]|inflate|gunzip|charCodeAt"
)
_OUTSIDE: Final = re.compile(
    r"\bfetch\b|\bhttps?\b|\baxios\b|\bgot\b|process\.(?:env|argv|stdin)|\bresponse\b|\bbody\b"
)
_MINING: Final = re.compile(r"stratum\+|coinhive|cryptonight|xmrig|randomx", re.IGNORECASE)
MAX_QUOTED: Final = 2_000
"""Bytes of a loop or a string that are searched for words."""

_DANGEROUS_NAMES: Final = frozenset({"eval", "Function", "require", "AsyncFunction"})


def inspect_javascript(code: str, inspection: Inspection) -> None:
    """Record what the program does; a part that cannot be parsed is unknown, the rest is judged all the
    same."""
    try:
        root, found = captures("javascript", _QUERY, code)
    except TooInvolved:
        inspection.add(Rule.NOT_ANALYSED_TOO_COMPLEX)
        inspect_plain_text(code, inspection)
        return
    program = _Program(code, inspection, found)
    if root.has_error:
        error = next(iter(found.get("error", [])), None)
        inspection.add(Rule.JAVASCRIPT_SYNTAX_ERROR, program.place(error) if error is not None else None)
        inspect_plain_text(code, inspection)
    program.inspect(found)


class _Program:
    def __init__(self, code: str, inspection: Inspection, found: dict[str, list[Node]]) -> None:
        self._inspection = inspection
        self._lines = byte_lines(code)
        self._data = code.encode("utf-8", "replace")
        self._names = Names(found)

    def place(self, node: Node) -> Place:
        return place_of(node, self._inspection, self._lines)

    def inspect(self, found: dict[str, list[Node]]) -> None:
        for node in found.get("import", []):
            self._module(self._names.text(node.child_by_field_name("source")), node)
        for node in found.get("call", []):
            self._call(node, node.child_by_field_name("function"))
        for node in found.get("new", []):
            self._call(node, node.child_by_field_name("constructor"))
        for node in found.get("member", []):
            self._member(node)
        for node in found.get("identifier", []):
            self._identifier(node)
        for node in found.get("assignment", []):
            self._assignment(node)
        for node in found.get("string", []):
            self._text(node)
        for node in found.get("loop", []):
            self._loop(node)

    def _add(self, rule: Rule, node: Node, severity: Severity | None = None, detail: str = "") -> None:
        self._inspection.add(rule, self.place(node), severity, detail)

    def _module(self, specifier: str | None, node: Node) -> None:
        if specifier is None:
            self._add(Rule.JAVASCRIPT_IMPORTS_COMPUTED_MODULE, node)
            return
        if specifier.startswith(("http:", "https:", "data:")):
            self._add(Rule.JAVASCRIPT_RUNS_TEXT_AS_CODE, node, Severity.CRITICAL, "code from elsewhere")
        elif (entry := MODULES.get(module_name(specifier))) is not None:
            self._add(entry[0], node, entry[1])
        elif (verdict := judge_read(specifier)) is not None and not specifier.startswith("../"):
            self._add(verdict.rule, node, verdict.severity)

    def _call(self, node: Node, function: Node | None) -> None:
        names = self._names.resolve(function)
        arguments = arguments_of(node)
        for name in names:
            if name in {
                "require",
                "import",
                "module.require",
                "module.createRequire()",
                "process.mainModule.require",
            }:
                computed = arguments and arguments[0].type not in {"string", "template_string"}
                self._module(self._names.text(arguments[0]) if arguments else None, node)
                if computed and self._names.text(arguments[0]) is not None:
                    self._add(Rule.JAVASCRIPT_HIDES_NAMES, node)
            elif name in TEXT_AS_CODE:
                self._runs_text(node, arguments)
            elif name in TIMERS and arguments and (text := self._names.text(arguments[0])) is not None:
                self._add(Rule.JAVASCRIPT_RUNS_TEXT_AS_CODE, node)
                self._inspection.embedded("nodejs", text, self.place(node))
            elif name in SHELL_CALLS or name in ARGV_CALLS:
                self._starts_process(node, arguments, shell=name in SHELL_CALLS)
            else:
                self._files(name, node, arguments)
        if any("process.env" in self._names.resolve(argument) for argument in arguments):
            self._add(Rule.JAVASCRIPT_READS_ENVIRONMENT, node, Severity.HIGH, "all of them")
        member = (
            function
            if function is not None and function.type in {"member_expression", "subscript_expression"}
            else None
        )
        if (
            member is not None
            and node.type == "call_expression"
            and self._names.property_of(member) == "constructor"
        ):
            self._runs_text(node, arguments)
            self._add(Rule.JAVASCRIPT_RUNS_TEXT_AS_CODE, node)
        if (
            function is not None
            and function.type == "subscript_expression"
            and self._names.property_of(function) is None
        ):
            owners = self._names.resolve(function.child_by_field_name("object"))
            if any(owner in SENSITIVE_OWNERS for owner in owners):
                self._add(Rule.JAVASCRIPT_HIDES_NAMES, node)

    def _runs_text(self, node: Node, arguments: list[Node]) -> None:
        body = arguments[-1] if arguments else None
        if body is None:
            return
        text = self._names.text(body)
        source = source_of(body) if body.type != "identifier" else self._bound_source(body)
        if _DECODING.search(source):
            self._add(Rule.JAVASCRIPT_RUNS_DECODED_PAYLOAD, node, Severity.HIGH if text is not None else None)
        elif text is None and _OUTSIDE.search(source):
            self._add(Rule.JAVASCRIPT_RUNS_TEXT_AS_CODE, node, Severity.CRITICAL, "text from outside")
        if text is not None:
            self._inspection.embedded("nodejs", text, self.place(node))

    def _bound_source(self, node: Node) -> str:
        return " ".join((*self._names.resolve(node), source_of(node)))

    def _starts_process(self, node: Node, arguments: list[Node], *, shell: bool) -> None:
        command = self._names.text(arguments[0]) if arguments else None
        if command is None:
            self._add(
                Rule.JAVASCRIPT_STARTS_PROCESSES,
                node,
                Severity.HIGH,
                "a command that is not known beforehand",
            )
            return
        self._add(Rule.JAVASCRIPT_STARTS_PROCESSES, node)
        words = [command]
        if not shell and len(arguments) > 1 and arguments[1].type == "array":
            values = [self._names.text(child) for child in arguments[1].named_children]
            if None in values:
                self._add(
                    Rule.JAVASCRIPT_STARTS_PROCESSES,
                    node,
                    Severity.HIGH,
                    "arguments that are not known beforehand",
                )
            words = ["'" + (word or "?").replace("'", "'\\''") + "'" for word in (command, *values)]
        self._inspection.embedded("bash", " ".join(words), self.place(node))

    def _files(self, name: str, node: Node, arguments: list[Node]) -> None:
        paths = [self._names.text(argument) for argument in arguments[:2]]
        path = paths[0] if paths else None
        if DELETING.match(name):
            recursive = any(
                "recursive" in source_of(argument) for argument in arguments[1:]
            ) or name.startswith(("rimraf", "del"))
            wide = recursive and path is not None and is_wide(path)
            unknown = recursive and path is None
            self._add(
                Rule.JAVASCRIPT_DELETES_FILES,
                node,
                Severity.CRITICAL if wide else Severity.HIGH if unknown else None,
            )
            self._written(path, node)
        elif WRITING.match(name):
            reads = name.startswith("fs.open") and (len(arguments) < 2 or paths[1] == "r")
            if reads:
                self._read(path, node)
                return
            self._add(Rule.JAVASCRIPT_WRITES_FILES, node)
            self._written(path, node)
            if re.search(r"rename|copy|cp|move|link", name) and len(paths) > 1:
                self._written(paths[1], node)
        elif READING.match(name):
            self._read(path, node)

    def _written(self, path: str | None, node: Node) -> None:
        if path is not None and (verdict := judge_write(path)) is not None:
            self._add(verdict.rule, node, verdict.severity)

    def _read(self, path: str | None, node: Node) -> None:
        if path is not None and (verdict := judge_read(path)) is not None:
            self._add(verdict.rule, node, verdict.severity)

    def _member(self, node: Node) -> None:
        name = self._names.property_of(node)
        owner = node.child_by_field_name("object")
        for resolved in self._names.resolve(node):
            self._refer(resolved, node)
            if resolved.startswith("process.env."):
                self._variable(resolved.removeprefix("process.env.").partition(".")[0], node)
        if "process.env" in self._names.resolve(owner):
            if name is None:
                self._add(Rule.JAVASCRIPT_READS_ENVIRONMENT, node)
            else:
                self._variable(name, node)
        elif (
            node.type == "subscript_expression"
            and name is None
            and any(each in SENSITIVE_OWNERS for each in self._names.resolve(owner))
        ):
            self._add(Rule.JAVASCRIPT_HIDES_NAMES, node)
        if node.type == "subscript_expression" and name in _DANGEROUS_NAMES | {
            "constructor",
            "__proto__",
            "prototype",
        }:
            self._add(Rule.JAVASCRIPT_HIDES_NAMES, node, Severity.MEDIUM)

    def _variable(self, name: str, node: Node) -> None:
        if is_secret_name(name):
            self._add(Rule.JAVASCRIPT_READS_ENVIRONMENT, node, Severity.HIGH, "one named like a secret")
        elif name not in HARMLESS_VARIABLES:
            self._add(Rule.JAVASCRIPT_READS_ENVIRONMENT, node, Severity.LOW)

    def _identifier(self, node: Node) -> None:
        if "\\" in source_of(node):
            self._add(Rule.JAVASCRIPT_HIDES_NAMES, node)
        for name in self._names.resolve(node):
            self._refer(name, node)

    def _refer(self, name: str, node: Node) -> None:
        if (entry := NAMED.get(name)) is not None:
            self._add(entry[0], node, entry[1])
            return
        head = name.partition(".")[0]
        if (
            node.type != "identifier"
            and (entry := MODULES.get(head)) is not None
            and head not in {"request", "del", "bindings", "module"}
        ):
            self._add(entry[0], node, entry[1])

    def _assignment(self, node: Node) -> None:
        left = node.child_by_field_name("left")
        source = source_of(left)
        if re.search(r"__proto__|\.prototype\b|\[\s*[\"']__proto__[\"']|constructor\.prototype", source):
            builtin = re.match(
                r"^(?:Object|Array|String|Function|Number|Promise|Map|Set|RegExp|Date|Error|Symbol)\.prototype",
                source,
            )
            own = re.match(r"^\w+\.prototype\.\w+$", source) and not builtin
            self._add(Rule.JAVASCRIPT_CHANGES_PROTOTYPES, node, Severity.LOW if own else None)
        elif left is not None and left.type in {"member_expression", "subscript_expression"}:
            owners = self._names.resolve(left.child_by_field_name("object"))
            if any(
                owner
                in {
                    "process",
                    "fs",
                    "child_process",
                    "JSON",
                    "require",
                    "console",
                    "crypto",
                    "Math",
                    "Object",
                    "Promise",
                }
                for owner in owners
            ):
                self._add(
                    Rule.JAVASCRIPT_CHANGES_PROTOTYPES,
                    node,
                    Severity.LOW if "process" in owners else Severity.HIGH,
                )
        right = node.child_by_field_name("right")
        if right is not None and self._names.resolve(right) == ("process.env",):
            self._add(Rule.JAVASCRIPT_READS_ENVIRONMENT, node, Severity.HIGH, "all of them")

    def _text(self, node: Node) -> None:
        text = self._names.text(node)
        if text is None:
            # The fixed parts of a template; what is nested in it is looked at by itself.
            parts = (child for child in node.named_children if child.type == "string_fragment")
            text = "\x00".join(self._begin(part) for part in parts)
        if (verdict := judge_text(text)) is not None:
            self._add(verdict.rule, node, verdict.severity)
        if find_secret(text) is not None:
            self._add(Rule.SECRET_IN_TEXT, node)
        if _MINING.search(text):
            self._add(Rule.MINES_COINS, node)

    def _begin(self, node: Node | None) -> str:
        # The whole text of each of many nested nodes would be the square of the program.
        if node is None:
            return ""
        end = min(node.end_byte, node.start_byte + MAX_QUOTED)
        return self._data[node.start_byte : end].decode("utf-8", "replace")

    def _loop(self, node: Node) -> None:
        condition = node.child_by_field_name("condition")
        source = source_of(condition).strip("(); \n")
        endless = source in {"true", "1", "!0", "!false", ""}
        body = self._begin(node.child_by_field_name("body"))
        if re.search(r"\b(?:fork|spawn|exec|execSync|spawnSync)\s*\(", body) and endless:
            self._add(Rule.JAVASCRIPT_FORK_BOMB, node)
        elif endless and not re.search(r"\b(?:break|return|throw|await|yield)\b|process\.exit", body):
            self._add(Rule.JAVASCRIPT_ENDLESS_LOOP, node)
