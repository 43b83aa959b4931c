"""What can be read off a shell script: its commands, and what pipes, redirections and loops make of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from code_safety.findings import Place, Rule, Severity
from code_safety.inspection import Inspection
from code_safety.paths import is_disk_device, is_network_device, judge_read, judge_write
from code_safety.plain_text import inspect_plain_text
from code_safety.secret_patterns import find_secret
from code_safety.shell.commands import inspect_command, inspect_variable, is_interpreter, language_of
from code_safety.shell.words import UNKNOWN, Words
from code_safety.shell.wrappers import program_name, unwrap
from code_safety.syntax_trees import TooInvolved, byte_lines, captures, place_of, source_of

if TYPE_CHECKING:
    from tree_sitter import Node

_QUERY: Final = """
(command) @command
(pipeline) @pipeline
(file_redirect) @redirect
(heredoc_redirect) @heredoc
(herestring_redirect) @herestring
(function_definition) @function
(variable_assignment) @assignment
(declaration_command) @declaration
(unset_command) @unset
(while_statement) @while
(c_style_for_statement) @while
(for_statement) @for
("&") @background
(ERROR) @error
"""
MAX_STAGES: Final = 100
"""Most commands in one pipeline."""

_DOWNLOADERS: Final = frozenset(
    {"curl", "wget", "fetch", "aria2c", "lynx", "http", "nc", "ncat", "scp", "ftp", "gsutil"}
)
_DECODERS: Final = frozenset(
    {
        "base64",
        "base32",
        "xxd",
        "openssl",
        "gunzip",
        "zcat",
        "rev",
        "tr",
        "uudecode",
        "gpg",
        "bzcat",
        "xzcat",
        "od",
        "awk",
        "sed",
    }
)
_TAKES_CODE: Final = frozenset({"eval", "source", ".", "bash", "sh", "dash", "zsh", "ksh", "exec"})


def inspect_bash(code: str, inspection: Inspection) -> None:
    """Record what the script does; a part that cannot be parsed is unknown, the rest is judged all the
    same."""
    try:
        root, found = captures("bash", _QUERY, code)
    except TooInvolved:
        inspection.add(Rule.NOT_ANALYSED_TOO_COMPLEX)
        inspect_plain_text(code, inspection)
        return
    script = _Script(code, inspection, found)
    if root.has_error and not _only_read_write(found.get("error", [])):
        error = next(iter(found.get("error", [])), None)
        inspection.add(Rule.BASH_SYNTAX_ERROR, script.place(error) if error is not None else None)
        inspect_plain_text(code, inspection)
    script.inspect()
    if find_secret(code) is not None:
        inspection.add(Rule.SECRET_IN_TEXT)


def _only_read_write(errors: list[Node]) -> bool:
    # The grammar does not know ``<>``, which is valid.
    return bool(errors) and all(source_of(error) == ">" for error in errors)


class _Script:
    def __init__(self, code: str, inspection: Inspection, found: dict[str, list[Node]]) -> None:
        self._inspection = inspection
        self._found = found
        self._lines = byte_lines(code)
        self._words = Words()
        names = (source_of(node.child_by_field_name("name")) for node in self._nodes("function"))
        self._functions = frozenset(names)
        self._commands: list[tuple[Node, list[str]]] = []
        self._downloaded: set[str] = set()

    def place(self, node: Node) -> Place:
        return place_of(node, self._inspection, self._lines)

    def inspect(self) -> None:
        self._assign()
        self._commands = [(node, self._words.of_command(node)) for node in self._nodes("command")]
        for node, words in self._commands:
            self._command(node, words)
        for pipeline in self._nodes("pipeline"):
            self._pipeline(pipeline)
        for redirect in self._nodes("redirect"):
            self._redirect(redirect)
        for heredoc in self._nodes("heredoc"):
            self._heredoc(heredoc)
        for herestring in self._nodes("herestring"):
            self._herestring(herestring)
        for function in self._nodes("function"):
            self._function(function)
        for loop in self._nodes("while"):
            self._loop(loop)
        for background in self._nodes("background"):
            self._background(background)

    def _nodes(self, name: str) -> list[Node]:
        return self._found.get(name, [])

    def _assign(self) -> None:
        for node in self._nodes("for"):
            name = source_of(node.child_by_field_name("variable"))
            for value in node.children_by_field_name("value"):
                self._words.assign(name, self._words.text(value))
        for node in self._nodes("assignment"):
            name = source_of(node.child_by_field_name("name"))
            value = node.child_by_field_name("value")
            if value is not None and value.type == "array":
                for item in value.named_children:
                    self._words.assign(f"{name}[]", self._words.text(item))
                continue
            text = self._words.text(value) if value is not None else ""
            self._words.assign(name, text)
            exported = node.parent is not None and node.parent.type in {"declaration_command", "command"}
            if exported or name in {"IFS", "PATH", "LD_PRELOAD", "PROMPT_COMMAND", "BASH_ENV"}:
                inspect_variable(name, text, self._inspection, self.place(node))
            if name == "PROMPT_COMMAND":
                self._inspection.embedded("bash", text.replace(UNKNOWN, "''"), self.place(node))
            if (verdict := judge_read(text.replace(UNKNOWN, ""))) is not None and verdict.severity.rank > 1:
                self._inspection.add(verdict.rule, self.place(node), verdict.severity)
        for node in self._nodes("unset"):
            if re.search(r"\bHIST(?:FILE|SIZE|CONTROL)", source_of(node)):
                self._inspection.add(Rule.COMMAND_COVERS_TRACKS, self.place(node))
        for node in self._nodes("declaration"):
            if source_of(node).strip() in {
                "export",
                "export -p",
                "declare -p",
                "declare -x",
                "declare",
                "typeset",
            }:
                self._inspection.add(Rule.COMMAND_READS_ENVIRONMENT, self.place(node))

    def _command(self, node: Node, words: list[str]) -> None:
        place = self.place(node)
        name_node = node.child_by_field_name("name")
        if words and words[0] in {"$0", "./$0"}:
            self._inspection.add(Rule.BASH_FORK_BOMB, place, Severity.HIGH)
            return
        if name_node is not None and words and self._is_built(name_node):
            self._inspection.add(Rule.BASH_BUILDS_COMMAND_NAME, place)
        inspect_command(words, self._inspection, place, functions=self._functions)
        inner = unwrap(words).words
        program = program_name(inner[0]) if inner else ""
        if program in _TAKES_CODE or is_interpreter([program]):
            self._runs_substitution(node, place)
            if any(program_name(word) in self._downloaded for word in inner[1:]):
                self._inspection.add(Rule.BASH_RUNS_DOWNLOAD, place)
        elif inner and inner[0].startswith(("./", "/tmp/")) and program in self._downloaded:  # noqa: S108 - judged
            self._inspection.add(Rule.BASH_RUNS_DOWNLOAD, place)
        if program in {"curl", "wget", "aria2c"}:
            self._downloads(node, inner)

    def _is_built(self, name: Node) -> bool:
        """Tell whether a command's name is put together from variables or output, or spelled to deceive."""
        inner = name.named_children[0] if name.named_children else name
        if inner.end_byte - inner.start_byte > 1_000:
            return True
        source = source_of(inner)
        if inner.type in {"command_substitution", "ansi_c_string"} or "`" in source or "$(" in source:
            return True
        if inner.type in {"simple_expansion", "expansion"}:
            text = self._words.text(inner)
            return UNKNOWN in text or (
                "/" not in source and self._functions == frozenset() and text not in {"$0"}
            )
        if inner.type == "concatenation":
            known_folder = re.match(r"^\"?\$\{?\w+\}?\"?/[\w./-]+$", source)
            return known_folder is None
        return bool(re.search(r"\w\\\w|\w(?:''|\"\")\w", source))

    def _runs_substitution(self, node: Node, place: Place) -> None:
        for other, words in self._commands:
            if other.start_byte <= node.start_byte or other.end_byte > node.end_byte:
                continue
            program = program_name(words[0]) if words else ""
            if program in _DOWNLOADERS:
                self._inspection.add(Rule.BASH_RUNS_DOWNLOAD, place)
            elif program in _DECODERS:
                self._inspection.add(Rule.BASH_RUNS_DECODED_PAYLOAD, place, Severity.HIGH)
            elif any(child.type == "process_substitution" for child in node.named_children):
                self._inspection.add(Rule.BASH_RUNS_TEXT_AS_CODE, place)

    def _downloads(self, node: Node, words: list[str]) -> None:
        for position, word in enumerate(words):
            if word in {"-o", "-O", "--output", "--output-document"} and position + 1 < len(words):
                self._downloaded.add(program_name(words[position + 1]))
            if "://" in word:
                self._downloaded.add(program_name(word.partition("?")[0]))
        parent = node.parent
        if parent is not None and parent.type == "redirected_statement":
            for redirect in parent.children_by_field_name("redirect"):
                self._downloaded.add(
                    program_name(self._words.text(redirect.child_by_field_name("destination")))
                )
        self._downloaded.discard("")

    def _pipeline(self, node: Node) -> None:
        if node.named_child_count > MAX_STAGES:
            self._inspection.add(Rule.NOT_ANALYSED_TOO_COMPLEX, self.place(node))
            return
        stages = [_body(child) for child in node.named_children if child.type != "comment"]
        words = [self._words.of_command(stage) if stage.type == "command" else [] for stage in stages]
        for position in range(1, len(stages)):
            if not words[position]:
                continue
            before = words[:position]
            inner = unwrap(words[position])
            text = (
                self._words.piped(stages[:position])
                if all(each.type == "command" for each in stages[:position])
                else None
            )
            if inner.from_input and text is not None:
                inspect_command(
                    [*inner.words, *text.split()],
                    self._inspection,
                    self.place(stages[position]),
                    functions=self._functions,
                )
            if is_interpreter(words[position]):
                self._feeds(before, text, words[position], self.place(node))

    def _feeds(self, before: list[list[str]], text: str | None, interpreter: list[str], place: Place) -> None:
        programs = {program_name(unwrapped[0]) for words in before if (unwrapped := unwrap(words).words)}
        if programs & _DOWNLOADERS:
            self._inspection.add(Rule.BASH_RUNS_DOWNLOAD, place)
        elif programs & _DECODERS:
            self._inspection.add(
                Rule.BASH_RUNS_DECODED_PAYLOAD, place, Severity.HIGH if text is not None else None
            )
        elif text is None:
            self._inspection.add(Rule.BASH_RUNS_TEXT_AS_CODE, place)
        if text is not None:
            self._inspection.embedded(language_of(interpreter), text, place)

    def _redirect(self, node: Node) -> None:
        operator = next((source_of(child) for child in node.children if not child.is_named), "")
        if any(child.type == "ERROR" for child in node.named_children):
            operator += ">"
        for destination in node.children_by_field_name("destination"):
            path = self._words.text(destination)
            place = self.place(node)
            if is_network_device(path):
                self._inspection.add(Rule.BASH_NETWORK_DEVICE, place)
            elif ">" in operator:
                self._written(path, operator, place)
            elif (verdict := judge_read(path.replace(UNKNOWN, ""))) is not None:
                self._inspection.add(verdict.rule, place, verdict.severity)

    def _written(self, path: str, operator: str, place: Place) -> None:
        if operator in {">&", "<&"} and (path.isdigit() or path == "-"):
            return
        if is_disk_device(path):
            self._inspection.add(Rule.BASH_WRITES_DEVICE, place)
            return
        if path.startswith("/dev/"):
            return
        self._inspection.add(Rule.BASH_WRITES_FILES, place)
        if (verdict := judge_write(path.replace(UNKNOWN, ""))) is not None:
            self._inspection.add(verdict.rule, place, verdict.severity)

    def _heredoc(self, node: Node) -> None:
        body = next((child for child in node.named_children if child.type == "heredoc_body"), None)
        statement = node.parent.child_by_field_name("body") if node.parent is not None else None
        commands = [statement] if statement is not None and statement.type == "command" else []
        for child in node.named_children:
            commands.extend(
                each
                for each in (child.named_children if child.type == "pipeline" else [child])
                if each.type == "command"
            )
        for command in commands:
            words = self._words.of_command(command)
            inner = unwrap(words).words
            if inner and program_name(inner[0]) in {"sqlite3", "duckdb", "psql", "mysql"}:
                self._inspection.embedded("sql", source_of(body), self.place(node))
            elif is_interpreter(words) or (inner and program_name(inner[0]) in {"ssh", "su"}):
                self._inspection.embedded(language_of(words), source_of(body), self.place(node))
        if (text := source_of(body)) and find_secret(text) is not None:
            self._inspection.add(Rule.SECRET_IN_TEXT, self.place(node))

    def _herestring(self, node: Node) -> None:
        command = node.parent
        if command is not None and command.type == "redirected_statement":
            command = command.child_by_field_name("body")
        if command is None or command.type != "command":
            return
        words = self._words.of_command(command)
        if not is_interpreter(words):
            return
        text = self._words.text(node.named_children[0]) if node.named_children else UNKNOWN
        if UNKNOWN in text:
            self._inspection.add(Rule.BASH_RUNS_TEXT_AS_CODE, self.place(node))
        self._inspection.embedded(language_of(words), text.replace(UNKNOWN, "''"), self.place(node))

    def _function(self, node: Node) -> None:
        name = source_of(node.child_by_field_name("name"))
        inside = [other for other, words in self._within(node) if words[:1] == [name]]
        if not inside:
            return
        spreads = len(inside) > 1 or any(
            node.start_byte < background.start_byte < node.end_byte
            for background in self._nodes("background")
        )
        if spreads:
            self._inspection.add(Rule.BASH_FORK_BOMB, self.place(node))

    def _within(self, node: Node) -> list[tuple[Node, list[str]]]:
        return [each for each in self._commands if node.start_byte < each[0].start_byte < node.end_byte]

    def _loop(self, node: Node) -> None:
        condition = node.child_by_field_name("condition")
        endless = condition is None or source_of(condition).strip() in {
            "true",
            ":",
            "[ 1 ]",
            "[[ 1 ]]",
            "((1))",
            "(( 1 ))",
            "test 1",
        }
        if source_of(node).startswith("until"):
            endless = source_of(condition).strip() == "false"
        if not endless:
            return
        inside = self._within(node)
        names = {words[0] for _, words in inside if words}
        if any(node.start_byte < each.start_byte < node.end_byte for each in self._nodes("background")):
            self._inspection.add(Rule.BASH_FORK_BOMB, self.place(node))
        elif not names & {"break", "return", "exit", "read", "sleep"}:
            self._inspection.add(Rule.BASH_ENDLESS_LOOP, self.place(node))

    def _background(self, node: Node) -> None:
        sibling = node.prev_named_sibling
        simple = sibling is not None and sibling.type == "command"
        waited = any(words[:1] == ["wait"] for _, words in self._commands)
        self._inspection.add(
            Rule.BASH_BACKGROUND, self.place(node), Severity.LOW if simple and waited else None
        )


def _body(node: Node) -> Node:
    if node.type == "redirected_statement":
        return node.child_by_field_name("body") or node
    return node
