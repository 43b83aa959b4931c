"""The quick look: type of operation, names, paths, hosts and words."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from hitl_contract.action import Action
from hitl_contract.action_code import CodeExecution, Language, NetworkMode, Profile
from hitl_contract.action_operations import FileChange, Generic, HttpRequest, ShellCommand, ToolCall
from hitl_contract.action_packages import PackageAddition
from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.approvals.models import Submission
from hitl_mcp.approvals.terms import AgentFacts
from hitl_mcp.risk.assessor import Opinion
from hitl_mcp.risk.names import sign_of_address, sign_of_operation, signs_of_path
from hitl_mcp.risk.signs import Sign, signs_in
from server_kit.small_values import read_value

_READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_SEARCHES = frozenset({"ag", "egrep", "fgrep", "grep", "rg", "zgrep"})
_SQL_TEXT = re.compile(r"'(?:[^']|'')*'")
_SHOWN = 4


class PatternsVote:
    """Sees what is in the open and nothing else; essential because every type of action has names."""

    name = "patterns"
    essential = True

    def at_once(self, agent: AgentFacts, submission: Submission) -> Opinion:  # noqa: ARG002 - the protocol's signature
        return _opinion_on(submission.action)

    async def assess(self, agent: AgentFacts, submission: Submission) -> Opinion:  # noqa: ARG002 - the protocol's signature
        return await read_value(submission.action, _opinion_on)


def _opinion_on(action: Action) -> Opinion:
    found = sorted(_signs(action), key=lambda sign: -sign.level.rank)
    if not found:
        return Opinion(RiskLevel.LOW, "nothing that stands out")
    means = list(dict.fromkeys(sign.means for sign in found if sign.level is found[0].level))
    more = f", and {len(means) - _SHOWN} more" if len(means) > _SHOWN else ""
    return Opinion(found[0].level, ", ".join(means[:_SHOWN]) + more)


def _signs(action: Action) -> list[Sign]:
    match action:
        case CodeExecution():
            return [*signs_in(_program(action)), *_bounds(action)]
        case PackageAddition():
            return [Sign(RiskLevel.HIGH, "lets later programs use new packages")]
        case ShellCommand():
            assigned = [f"{name}={value}" for name, value in action.env.items()]
            return signs_in(" ".join([*assigned, *_command(action.argv)]))
        case ToolCall():
            return [sign_of_operation(action.tool), *signs_in(_words(action.arguments))]
        case HttpRequest():
            return [*_request(action), *signs_in("\n".join([action.url, *action.headers.values()]))]
        case FileChange():
            added = [line[1:] for line in action.diff.splitlines() if line.startswith("+")]
            return [*signs_of_path(action.path), *signs_in("\n".join(added))]
        case Generic():
            return [sign_of_operation(action.operation), *signs_in(_words(action.details))]


def _program(action: CodeExecution) -> str:
    """Without the texts of SQL: a search for the words of a statement is not that statement."""
    return _SQL_TEXT.sub("''", action.code) if action.language is Language.SQL else action.code


def _command(argv: Sequence[str]) -> Sequence[str]:
    """Without what a search looks for: that is data, too."""
    if PurePosixPath(argv[0]).name not in _SEARCHES:
        return argv
    plain = [argument for argument in argv[1:] if not argument.startswith("-")]
    return [argument for argument in argv if argument not in plain[:1]]


def _words(value: object) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\\n", "\n")


def _bounds(action: CodeExecution) -> list[Sign]:
    found: list[Sign] = []
    if action.network.mode is not NetworkMode.NONE:
        found.append(Sign(RiskLevel.MEDIUM, "may reach the network"))
    if action.packages:
        found.append(Sign(RiskLevel.MEDIUM, "installs packages"))
    if action.profile is Profile.TRUSTED:
        found.append(Sign(RiskLevel.HIGH, "asks for the sandbox with the fewest bounds"))
    return found


def _request(action: HttpRequest) -> list[Sign]:
    found = [sign_of_address(action.url)]
    if action.method == "DELETE":
        found.append(Sign(RiskLevel.HIGH, "deletes on another server"))
    elif action.method not in _READING_METHODS or action.body_sha256 is not None:
        found.append(Sign(RiskLevel.MEDIUM, "changes something on another server"))
    return found
