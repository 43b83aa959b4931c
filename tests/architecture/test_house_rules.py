"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT, package_modules, tracked_text_files

LINE_LIMIT = 400

# Where writing to standard output is the purpose: a terminal program's own output. The verifier is one, which
# somebody with neither server runs by itself.
MAY_PRINT = ("hitl_mcp/cli/", "hitl_mcp/demo/", "executor_mcp/cli", "server_kit/audit_verifier/command.py")
MAY_CONSTRUCT_ADMITTED_CALL = {"executor_mcp/gate.py"}
MAY_NAME_THE_SEAL_OF_ADMISSION = {"executor_mcp/admission.py", "executor_mcp/gate.py"}

# Put together from halves so that this file does not contain what it looks for.
MACHINE_PATHS = re.compile(
    "|".join(
        [
            "/wo" + "rk/(main|shared)",
            r"\.lib" + "rary",
            "far" + "m-",
            "sha" + "red/[A-Z]+\\.md",
            r"(?<!\w)/ro" + "ot/",
        ]
    )
)
# What agents ask for names the places that agents name.
CORPUS = {"tests/corpus/actions.jsonl"}
# A rule that keeps agents out of the superuser's home has to name it.
RULES_ABOUT_HOMES = {"hitl_mcp/configs/policies/10-security-changes.yaml"}
REGISTRY_HOSTS = re.compile(
    "|".join(
        [
            r"pypi\." + "org",
            r"pythonhosted\." + "org",
            r"npmjs\." + "(org|com)",
            r"docker\." + "io/",
            r"ghcr\." + "io",
            r"quay\." + "io",
            r"deb\.debian\." + "org",
            r"archive\.ubuntu\." + "com",
            r"proxy\.golang\." + "org",
        ]
    )
)
MENTIONS_OF_UNFINISHED_WORK = re.compile(r"\b(TO" + "DO|FIX" + "ME|XX" + "X)\\b")


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def calls(path: Path) -> Iterator[tuple[int, str]]:
    """Every call in a module, as its line and the dotted name that is called."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def test_no_module_is_longer_than_the_limit() -> None:
    sources = [path for path in tracked_text_files() if path.suffix == ".py"]
    lengths = {relative(path): len(path.read_text().splitlines()) for path in sources}
    assert {name: length for name, length in lengths.items() if length > LINE_LIMIT} == {}


def test_only_terminal_programs_print() -> None:
    offenders = [
        f"{relative(path)}:{line}"
        for path in package_modules()
        if not relative(path).startswith(MAY_PRINT)
        for line, name in calls(path)
        if name in {"print", "sys.stdout.write"}
    ]
    assert offenders == []


def test_no_test_sleeps_on_the_thread() -> None:
    offenders = [
        f"{relative(path)}:{line}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for line, name in calls(path)
        if name == "time.sleep"
    ]
    assert offenders == []


def test_only_the_gate_constructs_an_admitted_call() -> None:
    constructors = {
        relative(path)
        for path in package_modules()
        for _, name in calls(path)
        if name.rsplit(".", 1)[-1] == "AdmittedCall"
    }
    assert constructors == MAY_CONSTRUCT_ADMITTED_CALL


def test_only_the_gate_holds_the_seal_of_admission() -> None:
    holders = {relative(path) for path in package_modules() if "GATE_SEAL" in path.read_text()}
    assert holders == MAY_NAME_THE_SEAL_OF_ADMISSION


@pytest.mark.parametrize(
    ("pattern", "exempt"),
    [
        pytest.param(MACHINE_PATHS, CORPUS | RULES_ABOUT_HOMES, id="machine paths"),
        pytest.param(REGISTRY_HOSTS, {"uv.lock"} | CORPUS, id="registry hosts"),
        pytest.param(MENTIONS_OF_UNFINISHED_WORK, set[str](), id="unfinished work"),
    ],
)
def test_no_file_mentions(pattern: re.Pattern[str], exempt: set[str]) -> None:
    offenders = [
        f"{relative(path)}:{number}: {line.strip()[:100]}"
        for path in tracked_text_files()
        if relative(path) not in exempt
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert offenders == []
