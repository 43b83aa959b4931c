"""How stored values become answers.

Output is clipped here so that every client can read the message it comes in.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from typing import Final

from pydantic import JsonValue

from executor_mcp.ceilings import Ceilings
from executor_mcp.executor_policy import ExecutorPolicy
from executor_mcp.interface.answers import (
    BurstAnswer,
    ConnectionAnswer,
    ExecutionAnswer,
    ExecutionList,
    ExecutionSummary,
    FileAnswer,
    FindingAnswer,
    LanguageAnswer,
    LanguagesAnswer,
    LimitsAnswer,
    OutputFileAnswer,
    PackageAdditionsAnswer,
    PackageAnswer,
    ProfileAnswer,
    SandboxAnswer,
    UsageAnswer,
    ValidationAnswer,
)
from executor_mcp.live_output import LiveExecution
from executor_mcp.models import Execution, ExecutionStatus, Outcome, StoredFile
from executor_mcp.packages.adding import PLACE
from executor_mcp.packages.addition_rules import AdditionRules
from executor_mcp.sandbox.base import SandboxDescription
from executor_mcp.service import Page, Validation
from executor_mcp.storage.executions import FileContent
from hitl_contract.action_code import Language, Limits, Profile

INLINE_BYTES: Final = 96 * 1024
"""Most JSON bytes of each of stdout, stderr and result in one answer.

MCP answers carry a value twice, once as text within JSON, and the SDK's client takes events of at most 1 MiB.
"""

_SHOWN_CONNECTIONS: Final = 100

PIECE_BYTES: Final = 128 * 1024
_ENOUGH_BYTES: Final = INLINE_BYTES + 1


def execution_summary(execution: Execution) -> ExecutionSummary:
    return ExecutionSummary(
        execution_id=execution.execution_id,
        status=execution.status,
        language=execution.language,
        action_digest=execution.action_digest,
        request_id=execution.request_id,
        created_at=execution.created_at,
        started_at=execution.started_at,
        duration_seconds=execution.duration_seconds,
        sandbox=_sandbox(execution),
        packages=tuple(PackageAnswer(package=one.package, layer=one.layer) for one in execution.packages),
    )


def execution_answer(execution: Execution, live: LiveExecution | None) -> ExecutionAnswer:
    """The whole of an execution; while it runs in this process, with its output so far."""
    outcome = execution.outcome
    stdout, stderr = _output(outcome, live)
    shown_stdout, shown_stderr = _clip(stdout), _clip(stderr)
    result, result_fits = _json_value(None if outcome is None else outcome.result_json)
    # One that does not fit is in the file of its name.
    checkpoint, _ = _json_value(None if outcome is None else outcome.checkpoint_json)
    clipped = shown_stdout != stdout or shown_stderr != stderr or not result_fits
    usage = None if outcome is None else outcome.usage
    return ExecutionAnswer(
        **execution_summary(execution).model_dump(),
        stdout=shown_stdout,
        stderr=shown_stderr,
        exit_code=None if outcome is None else outcome.exit_code,
        result=result,
        truncated=clipped or (outcome is not None and outcome.truncated),
        files_created=()
        if outcome is None
        else tuple(_file(execution.execution_id, file) for file in outcome.files),
        checkpoint=checkpoint,
        files_truncated=outcome is not None and outcome.files_truncated,
        resource_usage=None if usage is None else UsageAnswer(**asdict(usage)),
        connections=()
        if outcome is None
        else tuple(ConnectionAnswer(**asdict(one)) for one in outcome.connections[:_SHOWN_CONNECTIONS]),
        detail=None if outcome is None else outcome.detail,
        receipt=execution.receipt,
        warnings=execution.warnings,
        next_step=_next_step(execution, clipped=clipped),
    )


def execution_list(page: Page) -> ExecutionList:
    return ExecutionList(
        executions=tuple(execution_summary(execution) for execution in page.executions),
        next_cursor=page.next_cursor,
    )


def output_file(found: FileContent, offset: int, *, length: int = PIECE_BYTES) -> OutputFileAnswer:
    """The piece that begins at `offset`; it ends at a whole UTF-8 character where the file is text."""
    piece = found.content[offset : offset + length]
    text = _text_prefix(piece)
    if text is not None:
        piece = text.encode()
    end = offset + len(piece)
    return OutputFileAnswer(
        path=found.file.path,
        size=found.file.size,
        sha256=found.file.sha256,
        media_type=found.file.media_type,
        offset=offset,
        text=text,
        content_base64=base64.b64encode(piece).decode() if text is None else None,
        next_offset=end if end < len(found.content) else None,
    )


def languages(
    description: SandboxDescription, policy: ExecutorPolicy, additions: AdditionRules
) -> LanguagesAnswer:
    return LanguagesAnswer(
        sandbox=SandboxAnswer(
            backend=description.backend, runtime=description.runtime, image_digest=description.image_digest
        ),
        languages=tuple(
            LanguageAnswer(
                language=one.language.value,
                version=one.version,
                input=one.input,
                result=one.result,
                image_digest=description.image_digest,
                packages=one.packages,
                offered_packages=one.offered_packages,
            )
            for one in description.languages
            if one.language in policy.languages
        ),
        default_limits=_limits(Limits()),
        limits=_limits(policy.ceilings),
        profiles=tuple(sorted(policy.profiles)),
        profile_limits=tuple(
            ProfileAnswer(profile=profile.value, limits=_limits(policy.profile_ceilings(profile)))
            for profile in Profile
            if profile in policy.profiles
        ),
        network_domains=policy.domains,
        network_modes=policy.network_modes(description),
        packages=any(one.offered_packages for one in description.languages),
        package_additions=_additions(additions),
        burst=_burst(description),
    )


def _additions(rules: AdditionRules) -> PackageAdditionsAnswer | None:
    if not rules.allowed:
        return None
    return PackageAdditionsAnswer(
        allowed=rules.texts_allowed(Language.PYTHON),
        never=rules.texts_never(Language.PYTHON),
        nodejs_allowed=rules.texts_allowed(Language.NODEJS),
        nodejs_never=rules.texts_never(Language.NODEJS),
        how='Ask approval for {"type": "package_addition", "language": "python", "packages": '
        '["NAME==VERSION"], "needs": []}, or with "nodejs" and "NAME@VERSION"; validate_code says what needs '
        "has to name. Then execute it, and ask approval for the program.",
    )


def _burst(description: SandboxDescription) -> BurstAnswer | None:
    if not description.burst_profiles:
        return None
    return BurstAnswer(profiles=description.burst_profiles)


def validation(found: Validation) -> ValidationAnswer:
    verdict = found.verdict
    return ValidationAnswer(
        would_be_allowed=not found.verdict.refused_because,
        refused_because=found.verdict.refused_because,
        warnings=found.verdict.warnings,
        findings=tuple(
            FindingAnswer(
                rule=finding.rule.value,
                severity=finding.severity.value,
                message=finding.message,
                where=finding.where,
                line=finding.line,
                column=finding.column,
            )
            for finding in found.verdict.findings
        ),
        action_digest=found.action_digest,
        ask_instead=None if verdict.instead is None else verdict.instead.model_dump(mode="json"),
        installs=() if verdict.addition is None else verdict.addition.installs,
    )


def _limits(values: Limits | Ceilings) -> LimitsAnswer:
    return LimitsAnswer(
        wall_seconds=values.wall_seconds,
        memory_mb=values.memory_mb,
        cpus=values.cpus,
        pids=values.pids,
        disk_mb=values.disk_mb,
        output_kb=values.output_kb,
    )


def _sandbox(execution: Execution) -> SandboxAnswer:
    sandbox = execution.sandbox
    return SandboxAnswer(backend=sandbox.backend, runtime=sandbox.runtime, image_digest=sandbox.image_digest)


def _file(execution_id: str, file: StoredFile) -> FileAnswer:
    return FileAnswer(
        path=file.path,
        size=file.size,
        sha256=file.sha256,
        media_type=file.media_type,
        reference=f"execution://{execution_id}/files/{file.path}",
    )


def _output(outcome: Outcome | None, live: LiveExecution | None) -> tuple[str, str]:
    if outcome is not None:
        return outcome.stdout.decode(errors="replace"), outcome.stderr.decode(errors="replace")
    if live is not None:
        return (
            live.so_far("stdout", _ENOUGH_BYTES).decode(errors="replace"),
            live.so_far("stderr", _ENOUGH_BYTES).decode(errors="replace"),
        )
    return "", ""


def _clip(text: str) -> str:
    """The beginning that fits; the rest is not dropped, only not shown here."""
    if len(text) * 6 <= INLINE_BYTES:
        return text
    low, high = 0, min(len(text), INLINE_BYTES)
    while low < high:
        middle = (low + high + 1) // 2
        if len(json.dumps(text[:middle])) <= INLINE_BYTES:
            low = middle
        else:
            high = middle - 1
    return text[:low]


def _json_value(text: bytes | None) -> tuple[JsonValue, bool]:
    """The value, and whether it fits."""
    if text is None:
        return None, True
    if len(text) > INLINE_BYTES:
        return None, False
    try:
        return json.loads(text), True
    except (ValueError, RecursionError):
        return None, True


def _text_prefix(piece: bytes) -> str | None:
    for cut in range(4):
        try:
            text = piece[: len(piece) - cut].decode()
        except UnicodeDecodeError:
            continue
        return text if text or not piece else None
    return None


def _next_step(execution: Execution, *, clipped: bool) -> str:
    identifier = execution.execution_id
    if execution.ahead is not None:
        return (
            f"It waits for a place, with {execution.ahead} before it, and begins by itself; nothing has run "
            f"yet. Call get_execution with {identifier} and wait_seconds; the token is spent."
        )
    if not execution.status.is_final:
        return (
            f"It runs on whatever you do. Call get_execution with {identifier} and wait_seconds for its end."
        )
    if execution.output_removed:
        return "It ended long ago and its output is no longer kept. The receipt still vouches for its digest."
    if clipped:
        return (
            "Some output did not fit here. Read all of it with read_output_file and path /dev/stdout, "
            "/dev/stderr "
            "or /dev/result."
        )
    if execution.sandbox.backend == PLACE:
        return _after_an_addition(execution)
    if execution.status is ExecutionStatus.COMPLETED:
        return "Done. Nothing is left to do for this approval."
    if execution.outcome is not None and execution.outcome.checkpoint_json is not None:
        return (
            "It has ended and is not run again. It left a checkpoint: to go on from there, request a new "
            "approval for an action that has checkpoint as its input_data, or checkpoint.json among its "
            "files by reference."
        )
    return "It has ended and is not run again. To run it or a corrected version, request a new approval."


def _after_an_addition(execution: Execution) -> str:
    if execution.status is ExecutionStatus.COMPLETED:
        return (
            "The packages are there. Name them in packages of a program; that program needs an approval of "
            "its own."
        )
    return (
        "It has ended and is not done again; list_languages says which packages there are now. To try again, "
        "request a new approval."
    )
