"""``file_change``: which file, and what its unified diff adds and takes away."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from code_safety.findings import Place, Rule, Severity
from code_safety.hidden_characters import find_hidden_characters
from code_safety.inspection import Inspection
from code_safety.paths import judge_write
from code_safety.plain_text import inspect_plain_text
from code_safety.secret_patterns import find_secret
from hitl_contract.action_operations import FileChange

MAX_PARSED: Final = 60_000
"""Most characters of a diff that are read; what is beyond is unknown."""

_PIPELINE: Final = re.compile(
    r"""(?:^|/)(?:\.github/(?:workflows|actions)/ | \.gitlab-ci | \.circleci/ | \.travis\.yml
      | azure-pipelines | bitbucket-pipelines
      | \.buildkite/ | \.drone\.yml | \.ci/ | Jenkinsfile | Dockerfile | docker-compose
      | compose\.ya?ml | Makefile | makefile | \.tekton/
      | cloudbuild | appveyor | \.pre-commit | Vagrantfile | Tiltfile | skaffold | helm/ | charts/
      | k8s/ | kubernetes/ | terraform/
      | [\w.-]+\.tf$ | [\w.-]+\.tfvars$ | serverless\.ya?ml | ansible/
      | playbook | Procfile | nginx | deploy | CODEOWNERS)""",
    re.VERBOSE,
)
_DEPENDENCIES: Final = re.compile(
    r"""(?:^|/)(?:package(?:-lock)?\.json | yarn\.lock | pnpm-lock\.yaml | requirements[\w.-]*\.txt
      | pyproject\.toml | poetry\.lock | uv\.lock
      | setup\.(?:py|cfg) | Pipfile(?:\.lock)? | Cargo\.(?:toml|lock) | go\.(?:mod|sum)
      | Gemfile(?:\.lock)? | composer\.(?:json|lock)
      | pom\.xml | build\.gradle(?:\.kts)? | environment\.ya?ml | bun\.lockb?
      | deno\.json | constraints\.txt | \.gitmodules)$""",
    re.VERBOSE,
)
_SECURITY_CODE: Final = re.compile(
    r"(?i)(?:^|[/_.-])(?:auth(?:n|z|enticat\w*|oriz\w*)?|login|sessions?|passwords?|permissions?|polic(?:y|ies)|rbac|acl|security|crypto"
    r"|jwt|oauth|tokens?|sso|csrf|cors|firewall|sandbox|seccomp|iam|access|roles?|middleware|admin|payments?|billing)(?:[/_.-]|$)"
)
_INSTALL_SCRIPTS: Final = re.compile(
    r"\"(?:pre|post)?(?:install|prepare|publish|prepublish\w*|pack)\"\s{0,9}:|cmdclass|build_ext|postCreateCommand"
)
_CODE_SUFFIXES: Final = {
    ".py": "python",
    ".js": "nodejs",
    ".mjs": "nodejs",
    ".cjs": "nodejs",
    ".sh": "bash",
    ".bash": "bash",
    ".sql": "sql",
}
_WEAKENING: Final = re.compile(
    r"""(?ix) verify\s{0,5}[:=]\s{0,5}False | rejectUnauthorized["']?\s{0,5}:\s{0,5}false
      | CERT_NONE | InsecureSkipVerify\s{0,5}:\s{0,5}true
      | NODE_TLS_REJECT_UNAUTHORIZED
      | (?:disable|skip|bypass|no)[_-]?(?:auth|verify|verification|ssl|tls|csrf|checks?|security)\w*
        ["']?\s{0,5}[:=]\s{0,5}(?:true|1)
      | algorithms?["']?\s{0,5}[:=]\s{0,5}\[?\s{0,5}["']none["']
      | verify_signature["']?\s{0,5}[:=]\s{0,5}False | csrf_exempt | @PermitAll\b
      | Access-Control-Allow-Origin["']?\s{0,5}[:,=]\s{0,5}["']?\*
      | allow_origins\s{0,5}=\s{0,5}\[\s{0,5}["']\* | chmod\s{1,5}(?:-R\s{1,5})?777
      | StrictHostKeyChecking[\s=]{1,5}no | PermitRootLogin\s{1,5}yes | NOPASSWD
      | privileged["']?\s{0,5}[:=]\s{0,5}true | hostNetwork\s{0,5}:\s{0,5}true
      | pull_request_target | permissions\s{0,5}:\s{0,5}write-all
      | 0\.0\.0\.0/0 | "Action"\s{0,5}:\s{0,5}"\*" | is_admin\s{0,5}=\s{0,5}True
      | \#\s{0,3}nosec\b | --no-verify\b | continue-on-error\s{0,5}:\s{0,5}true
      | debug\s{0,5}=\s{0,5}True | autoescape\s{0,5}=\s{0,5}False"""
)
_CHECKS: Final = re.compile(
    r"(?i)\b(?:require|check|verify|validate|assert|ensure|enforce|authenticate|authorize|permission"
    r"|login_required|is_admin|has_role|csrf|escape|sanitize|rate_?limit|raise\s\w{0,40}(?:Forbidden|Unauthorized|Permission))"
)
_EXTERNAL_ACTION: Final = re.compile(
    r"uses:\s{0,5}[\w./-]{1,200}@(?![0-9a-f]{40})|curl[^\n]{0,200}\|\s{0,9}(?:ba)?sh|secrets\.\w+"
)


@dataclass(slots=True)
class _Diff:
    added: list[str]
    removed: list[str]
    files: list[str]
    deletes: bool = False
    readable: bool = True


def inspect_file_change(action: FileChange, inspection: Inspection) -> None:
    """Record what kind of file it is and what the change does to it."""
    path_at = inspection.at("path")
    diff_at = inspection.at("diff")
    for finding in (
        *find_hidden_characters(action.path, where="path"),
        *find_hidden_characters(action.diff, where="diff"),
    ):
        inspection.keep(finding)
    _inspect_path(action.path, path_at)
    if len(action.diff) > MAX_PARSED:
        diff_at.add(Rule.NOT_ANALYSED_TOO_LARGE)
    diff = _read(action.diff[:MAX_PARSED])
    if not diff.readable:
        diff_at.add(Rule.CHANGE_UNREADABLE)
        inspect_plain_text(action.diff, diff_at)
    others = {name for name in diff.files if name != "/dev/null"} - {action.path, action.path.lstrip("./")}
    if any(not action.path.endswith(f"/{name}") for name in others):
        diff_at.add(Rule.CHANGE_OTHER_FILE)
        for name in sorted(others):
            _inspect_path(name, diff_at)
    mostly_removed = len(diff.removed) >= 20 and len(diff.added) * 10 <= len(diff.removed)
    if diff.deletes:
        diff_at.add(Rule.CHANGE_DELETES_FILE)
    elif mostly_removed:
        diff_at.add(Rule.CHANGE_DELETES_FILE, severity=Severity.LOW)
    _inspect_content(action.path, diff, diff_at)


def _inspect_path(path: str, inspection: Inspection) -> None:
    if (verdict := judge_write(path)) is not None:
        # Agents name files of their project by the whole path; that alone is no news.
        outside = verdict.rule is Rule.PATH_OUTSIDE
        inspection.add(verdict.rule, severity=Severity.LOW if outside else verdict.severity)
    if _PIPELINE.search(path):
        inspection.add(Rule.PATH_PIPELINE)
    if _DEPENDENCIES.search(path):
        inspection.add(Rule.PATH_DEPENDENCIES)
    documents = path.endswith((".md", ".txt", ".rst", ".svg", ".png", ".css")) or re.search(
        r"(?:^|/)(?:tests?|docs?|fixtures)/", path
    )
    if _SECURITY_CODE.search(path) and not documents:
        inspection.add(Rule.PATH_SECURITY_CODE)


def _inspect_content(path: str, diff: _Diff, inspection: Inspection) -> None:
    added = "\n".join(diff.added)
    if find_secret(added) is not None:
        inspection.add(Rule.SECRET_IN_TEXT)
    if _WEAKENING.search(added) and not path.endswith((".md", ".rst")):
        inspection.add(Rule.CHANGE_WEAKENS_SECURITY)
    gone = [
        line
        for line in diff.removed
        if _CHECKS.search(line) and not line.lstrip().startswith(("#", "//", "import ", "from "))
    ]
    if gone and len([line for line in diff.added if _CHECKS.search(line)]) < len(gone):
        known = _SECURITY_CODE.search(path) is not None or re.search(
            r"(?i)auth|permission|csrf|login_required|is_admin", "\n".join(gone)
        )
        inspection.add(
            Rule.CHANGE_WEAKENS_SECURITY, None, Severity.HIGH if known else Severity.MEDIUM, "removes a check"
        )
    if _DEPENDENCIES.search(path) and _INSTALL_SCRIPTS.search(added):
        inspection.add(Rule.PATH_RUNS_LATER)
    if _PIPELINE.search(path) and _EXTERNAL_ACTION.search(added):
        inspection.add(
            Rule.COMMAND_RUNS_CODE, None, Severity.HIGH, "code from elsewhere, or secrets, in the pipeline"
        )
    suffix = path[path.rfind(".") :].lower() if "." in path else ""
    language = _CODE_SUFFIXES.get(suffix)
    if language is None or not added.strip():
        inspect_plain_text(added, inspection)
        return
    _inspect_fragment(language, diff.added, inspection)


def _inspect_fragment(language: str, lines: list[str], inspection: Inspection) -> None:
    """Judge added lines, which are seldom a program by themselves: what does not parse is searched for
    words."""
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    text = "\n".join(line[indent:] for line in lines)
    fragment = Inspection(inspection.analysers, "diff")
    fragment.embedded(language, text, Place("diff"))
    if fragment.unknown:
        inspect_plain_text(text, inspection)
        findings = [finding for finding in fragment.findings if not finding.unknown]
    else:
        findings = list(fragment.findings)
    for finding in findings:
        inspection.keep(finding)


def _read(text: str) -> _Diff:
    """Take a unified diff apart. A text without hunks is read as all added, and is said to be unreadable."""
    diff = _Diff([], [], [])
    in_hunk = seen_hunk = False
    for line in text.split("\n"):
        if line.startswith("@@"):
            in_hunk = seen_hunk = True
        elif line.startswith(("--- ", "+++ ")) and not (
            in_hunk and not line[4:5].isalnum() and "/" not in line
        ):
            name = re.sub(r"^(?:a|b)/", "", line[4:].split("\t")[0].strip())
            diff.files.append(name)
            diff.deletes = diff.deletes or (line.startswith("+++") and name == "/dev/null")
            in_hunk = False
            # A removed or added line may look like a header: it counts as what it may be, too.
            if seen_hunk:
                (diff.added if line.startswith("+") else diff.removed).append(line[1:])
        elif line.startswith("deleted file mode"):
            diff.deletes = True
        elif line.startswith(("rename to ", "copy to ")):
            diff.files.append(line.partition(" to ")[2].strip())
        elif line.startswith("+"):
            diff.added.append(line[1:])
        elif line.startswith("-"):
            diff.removed.append(line[1:])
    if not seen_hunk and not diff.deletes:
        diff.readable = False
        if not diff.added:
            diff.added = text.split("\n")
    return diff
