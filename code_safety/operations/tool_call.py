"""``tool_call`` and ``generic``: what the name and the arguments tell. A name is a claim, no proof."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, cast

from code_safety.findings import Place, Rule, Severity
from code_safety.hidden_characters import find_hidden_characters
from code_safety.inspection import Inspection
from code_safety.paths import judge_read, judge_text
from code_safety.plain_text import inspect_plain_text
from code_safety.secret_patterns import find_secret, is_secret_name
from hitl_contract.action_operations import Generic, ToolCall

MAX_VALUES: Final = 5_000
MAX_DEPTH: Final = 50
MAX_CHARACTERS: Final = 500_000


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FAMILIES: Final[tuple[tuple[Rule, frozenset[str]], ...]] = (
    (
        Rule.TOOL_MOVES_MONEY,
        _words(
            """transfer pay payment payout wire withdraw purchase buy refund charge checkout sell
                trade invest bet swap donate remit disburse"""
        ),
    ),
    (
        Rule.TOOL_DESTROYS,
        _words(
            """delete del remove rm drop destroy purge wipe erase truncate terminate kill shred uninstall
            clear reset format deprovision
            cancel revoke unpublish archive close ban evict flush cleanup prune rollback downgrade trash
            empty nuke obliterate expire"""
        ),
    ),
    (
        Rule.TOOL_CHANGES_RIGHTS,
        _words(
            """grant permission permissions role roles acl policy iam chmod chown share invite token tokens
            credential credentials secret
            secrets password passwords apikey key keys admin sudo impersonate mfa sso promote owner
            access firewall"""
        ),
    ),
    (
        Rule.TOOL_RELEASES,
        _words(
            """deploy release publish rollout restart reboot scale provision migrate merge push
                apply failover shutdown stop start launch promote upgrade install"""
        ),
    ),
    (
        Rule.TOOL_RUNS_CODE,
        _words(
            """exec execute run eval shell bash terminal command cmd python script code ssh
                subprocess powershell sql evaluate compile invoke spawn repl notebook console"""
        ),
    ),
    (
        Rule.TOOL_SENDS,
        _words(
            """send email mail post tweet notify message sms reply forward upload share call dial
                broadcast submit comment export webhook slack telegram whatsapp"""
        ),
    ),
    (
        Rule.TOOL_CHANGES,
        _words(
            """create update write edit set add put insert save modify change rename move copy append
            replace patch assign toggle enable
            disable register schedule book upsert import sync lock unlock mark tag label attach detach
            fork clone click type fill drag press
            navigate select store increment configure resize approve reject accept decline follow like
            subscribe unsubscribe"""
        ),
    ),
)
_READS: Final = _words(
    """get list read search find fetch query describe show view lookup count check status info help stat
    tree grep glob ls cat head tail
    diff log history preview validate lint explain summarize summarise inspect browse screenshot
    snapshot open ping version whoami
    translate calculate compute convert parse analyze analyse compare resolve retrieve load download
    think plan estimate peek watch
    tabs console hover wait todo outline docs documentation weather time now random"""
)
_CODE_NOUNS: Final = _words("code script python sql command cmd notebook console terminal")
_STATEMENT: Final = re.compile(
    r"(?i)^\s*(?:select|insert|update|delete|drop|alter|create|truncate|with|merge|attach|copy|grant|replace|pragma)\s"
)
_COMMAND_FIELDS: Final = _words("command cmd shell script bash exec commandline command_line")
_CODE_FIELDS: Final = {
    "code": "python",
    "python": "python",
    "python_code": "python",
    "javascript": "nodejs",
    "js": "nodejs",
    "script": "bash",
    "source": "python",
    "expression": "nodejs",
    "function": "nodejs",
}
_FORCING: Final = re.compile(
    r"(?i)^(?:force|recursive|all|hard|purge|permanent|cascade|skip_\w+|no_confirm|confirm|yes|override|overwrite|bypass\w*|dangerously\w*|delete_\w+)$"
)
_PATH_FIELD: Final = re.compile(r"(?i)path|file|dir|folder|uri|url|location|target|source|dest")


def inspect_tool_call(action: ToolCall, inspection: Inspection) -> None:
    """Record what the tool's name says and what its arguments hold."""
    for finding in (
        *find_hidden_characters(action.tool, where="tool"),
        *find_hidden_characters(action.server, where="server"),
    ):
        inspection.keep(finding)
    _inspect_name(action.tool, inspection.at("tool"))
    # What is looked for is only mentioned, not done.
    most = Severity.MEDIUM if name_words(action.tool)[:1] and _reads(action.tool) else Severity.HIGH
    _inspect_values(action.arguments, "arguments", inspection, most)


def inspect_generic(action: Generic, inspection: Inspection) -> None:
    """Record what the operation's name says and what its details hold. It stays unknown what will be done."""
    for finding in find_hidden_characters(action.operation, where="operation"):
        inspection.keep(finding)
    inspection.at("operation").add(Rule.NOT_ANALYSED)
    _inspect_name(action.operation, inspection.at("operation"))
    _inspect_values(action.details, "details", inspection, Severity.HIGH)


def name_words(name: str) -> list[str]:
    """The words of a name: ``deleteUser_v2`` is delete, user, v2."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1 \2", name))
    return [word.lower() for word in re.split(r"[^A-Za-z0-9]+", spaced) if word]


def _inspect_name(name: str, inspection: Inspection) -> None:
    words = name_words(name)
    if not name.isascii():
        inspection.add(Rule.TOOL_UNFAMILIAR, severity=Severity.HIGH)
    matched = False
    reads_first = bool(words) and words[0] in _READS
    for rule, family in _FAMILIES:
        present = [word for word in words if word in family or word.removesuffix("s") in family]
        if not present:
            continue
        # "list_payments", "get_role": the verb comes first, and what follows is only what it is about.
        nouns_alone = rule is not Rule.TOOL_RUNS_CODE or set(present) <= _CODE_NOUNS
        about = reads_first and nouns_alone and not set(words[1:]) & {"and", "then", "or"}
        if about and not (
            rule is Rule.TOOL_DESTROYS and present[0] in {"delete", "destroy", "purge", "wipe"}
        ):
            if rule is Rule.TOOL_CHANGES_RIGHTS and any(is_secret_name(word) for word in present):
                inspection.add(Rule.TOOL_CHANGES_RIGHTS, detail="reads secrets")
            matched = True
            continue
        inspection.add(rule, severity=Severity.MEDIUM if about else None)
        matched = True
    if not matched and not any(word in _READS for word in words):
        inspection.add(Rule.TOOL_UNFAMILIAR)


def _reads(name: str) -> bool:
    return name_words(name)[0] in _READS


def _inspect_values(values: Mapping[str, object], root: str, inspection: Inspection, most: Severity) -> None:
    characters = 0
    for counted, (path, key, value, depth) in enumerate(_walk(values, root)):
        characters += len(value) if isinstance(value, str) else 0
        if counted > MAX_VALUES or depth > MAX_DEPTH or characters > MAX_CHARACTERS:
            inspection.add(Rule.NOT_ANALYSED_TOO_LARGE, Place(root))
            return
        place = Place(path)
        if isinstance(value, bool):
            if value and _FORCING.match(key):
                inspection.add(Rule.TOOL_CHANGES, place, detail="with force")
        elif isinstance(value, str) and value:
            _inspect_text(key, value, place, inspection, most)


def _inspect_text(key: str, value: str, place: Place, inspection: Inspection, most: Severity) -> None:
    for finding in find_hidden_characters(value[:20_000], where=place.where):
        inspection.keep(finding)
    if find_secret(value) is not None or (
        is_secret_name(key) and re.fullmatch(r"\S{12,}", value) and not value.isalpha()
    ):
        inspection.add(Rule.SECRET_IN_TEXT, place, Severity.MEDIUM if len(key) < 4 else None)
    field = key.lower()
    if _STATEMENT.match(value) and (
        "sql" in field
        or "query" in field
        or "statement" in field
        or re.search(r"(?i)\b(?:from|table|into|set)\b", value)
    ):
        inspection.embedded("sql", value, place)
    elif field in _COMMAND_FIELDS or (field.endswith("command") and " " in value):
        inspection.embedded("bash", value, place)
        inspection.add(Rule.TOOL_RUNS_CODE, place, Severity.MEDIUM)
    elif field in _CODE_FIELDS and re.search(r"[=(;]", value):
        inspection.embedded(_CODE_FIELDS[field], value, place)
        inspection.add(Rule.TOOL_RUNS_CODE, place, Severity.MEDIUM)
    elif _PATH_FIELD.search(field) and len(value) < 4_096 and "\n" not in value:
        absolute = value.startswith(("/home/", "/Users/", "/repo", "/project", "/app"))
        if (
            (verdict := judge_read(value)) is not None
            and not (absolute and verdict.rule is Rule.PATH_OUTSIDE)
            and "://" not in value
        ) or (verdict := judge_text(value)) is not None:
            inspection.add(verdict.rule, place, verdict.severity)
        if re.match(
            r"(?i)https?://(?:localhost|127\.|10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|\[|169\.254\.)",
            value,
        ):
            inspection.add(Rule.HTTP_PRIVATE_ADDRESS, place, Severity.MEDIUM)
    else:
        mentioned = Inspection({}, place.where)
        inspect_plain_text(value, mentioned)
        for finding in mentioned.findings:
            inspection.keep(
                replace(finding, severity=min(finding.severity, most, key=lambda each: each.rank))
            )


def _walk(values: object, root: str) -> Iterable[tuple[str, str, object, int]]:
    waiting: list[tuple[str, str, object, int]] = [(root, "", values, 0)]
    while waiting:
        path, key, value, depth = waiting.pop()
        if isinstance(value, dict) and depth <= MAX_DEPTH:
            held = cast("dict[str, object]", value)
            waiting.extend(
                (f"{path}.{name[:80]}", name, each, depth + 1) for name, each in reversed(held.items())
            )
        elif isinstance(value, list | tuple) and depth <= MAX_DEPTH:
            items = list(cast("list[object]", value))
            waiting.extend(
                (f"{path}[{number}]", key, each, depth + 1)
                for number, each in reversed(list(enumerate(items)))
            )
        if path != root:
            yield path, key, value, depth
