"""Hands each part of an action to the analysis that knows its kind."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from code_safety.findings import Rule, Severity
from code_safety.hidden_characters import find_hidden_characters
from code_safety.inspection import Inspection
from code_safety.languages import ANALYSERS, MAX_ANALYSED_CHARACTERS
from code_safety.operations.file_change import inspect_file_change
from code_safety.operations.http_request import inspect_http_request
from code_safety.operations.shell_command import inspect_shell_command
from code_safety.operations.tool_call import inspect_generic, inspect_tool_call
from code_safety.paths import runs_later
from code_safety.source_encoding import find_source_encodings
from hitl_contract.action import Action
from hitl_contract.action_code import CodeExecution, NetworkMode, Profile
from hitl_contract.action_files import FileReference, InputFile
from hitl_contract.action_operations import FileChange, Generic, HttpRequest, ShellCommand, ToolCall
from hitl_contract.action_packages import PackageAddition

_NETWORK_RULES: Final = frozenset(
    {
        Rule.PYTHON_OPENS_NETWORK,
        Rule.JAVASCRIPT_OPENS_NETWORK,
        Rule.COMMAND_OPENS_NETWORK,
        Rule.COMMAND_UPLOADS,
        Rule.BASH_NETWORK_DEVICE,
    }
)
_SECRET_RULES: Final = frozenset(
    {
        Rule.PATH_CREDENTIALS,
        Rule.COMMAND_READS_ENVIRONMENT,
        Rule.PYTHON_READS_ENVIRONMENT,
        Rule.JAVASCRIPT_READS_ENVIRONMENT,
    }
)
_LANGUAGES_OF_FILES: Final = {
    ".py": "python",
    ".pyw": "python",
    ".js": "nodejs",
    ".mjs": "nodejs",
    ".cjs": "nodejs",
    ".sh": "bash",
    ".bash": "bash",
    ".sql": "sql",
}


def inspect_action(action: Action, inspection: Inspection) -> None:
    """Record all that is known about an action."""
    match action:
        case CodeExecution():
            _inspect_execution(action, inspection)
        case PackageAddition():
            inspection.at("packages").add(Rule.PACKAGE_ADDITION)
        case ShellCommand():
            inspect_shell_command(action, inspection)
        case FileChange():
            inspect_file_change(action, inspection)
        case HttpRequest():
            inspect_http_request(action, inspection)
        case ToolCall():
            inspect_tool_call(action, inspection)
        case Generic():
            inspect_generic(action, inspection)
    _inspect_flow(inspection)


def _inspect_execution(action: CodeExecution, inspection: Inspection) -> None:
    for finding in find_source_encodings(action):
        inspection.keep(finding)
    for finding in find_hidden_characters(action.code):
        inspection.keep(finding)
    ANALYSERS[action.language.value](action.code, inspection.at("code"))
    left = MAX_ANALYSED_CHARACTERS
    for number, file in enumerate(action.files):
        for finding in find_hidden_characters(file.path, where="files.path"):
            inspection.keep(finding)
        left -= _inspect_file(file, left, inspection.at(f"files[{number}]"))
    if action.network.mode is not NetworkMode.NONE:
        inspection.at("network").add(Rule.EXECUTION_NETWORK)
    if action.packages:
        inspection.at("packages").add(Rule.EXECUTION_PACKAGES)
    if action.profile is Profile.TRUSTED:
        inspection.at("profile").add(Rule.EXECUTION_PROFILE)


def _inspect_file(file: InputFile | FileReference, left: int, inspection: Inspection) -> int:
    """Analyse an input file that is a program; returns how many characters were read."""
    suffix = file.path[file.path.rfind(".") :].lower() if "." in file.path else ""
    language = _LANGUAGES_OF_FILES.get(suffix)
    if runs_later(file.path):
        inspection.add(Rule.PATH_RUNS_LATER, severity=Severity.MEDIUM)
    if isinstance(file, FileReference):
        inspection.add(Rule.EXECUTION_FILE_REFERENCE)
        if language is not None:
            inspection.add(Rule.NOT_ANALYSED)
        return 0
    text = _text(file)
    if language is None and text.startswith("#!"):
        first = text.partition("\n")[0]
        words = {"python": "python", "node": "nodejs", "sh": "bash"}
        language = next((words[word] for word in words if word in first), None)
    if language is None:
        return 0
    if len(text) > left:
        inspection.add(Rule.NOT_ANALYSED_TOO_LARGE)
        return 0
    for finding in find_hidden_characters(text, where=inspection.place().where):
        inspection.keep(finding)
    ANALYSERS[language](text, inspection)
    return len(text)


def _text(file: InputFile) -> str:
    if file.content is not None:
        return file.content
    try:
        return base64.b64decode(file.content_base64 or "").decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


def _inspect_flow(inspection: Inspection) -> None:
    """Say what the parts mean together: secrets read, and a way out for them."""
    findings = inspection.findings
    if not any(finding.rule in _NETWORK_RULES for finding in findings):
        return
    secret = next(
        (
            finding
            for finding in findings
            if finding.rule in _SECRET_RULES and finding.severity.rank >= Severity.HIGH.rank
        ),
        None,
    )
    if secret is not None:
        inspection.add(Rule.CREDENTIALS_TO_NETWORK, secret.place)
