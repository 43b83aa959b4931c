"""What the documentation tells people to type works, and its links lead somewhere."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from executor_mcp.cli.application import application as executor_command_line
from executor_mcp.settings import load as load_executor_settings
from hitl_mcp.cli.application import build_application as build_command_line
from hitl_mcp.policies.loading import load_rules
from hitl_mcp.policies.people import KnownPeople
from hitl_mcp.settings import read_settings
from tests.architecture.repository import ROOT
from tests.architecture.snippets import MARKERS, Snippet, documentation_pages, snippets

BIN = Path(sys.executable).parent
# A language without a check of its own may not be used.
# Python is run by tests/gate/test_documented_programs.py.
LANGUAGES = {"bash", "yaml", "json", "text", "python"}
OUR_COMMANDS: Mapping[str, Callable[[], typer.Typer]] = {
    "hitl": build_command_line,
    "hitl-executor": lambda: executor_command_line,
}
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


def environment(home: Path) -> dict[str, str]:
    """A user's environment with nothing of the developer's in it."""
    return {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "HITL_HOME": str(home / ".hitl"),
        "EXECUTOR_HOME": str(home / ".hitl-executor"),
        "HITL_INIT_PASSWORD": "correct horse battery staple",
        "HITL_PASSWORD": "correct horse battery staple",
        "LANG": "C.UTF-8",
        "COLUMNS": "200",
    }


@cache
def help_text(command: tuple[str, ...]) -> str:
    # In this process: there are many pages, and starting is most of what printing one takes.
    result = CliRunner().invoke(
        OUR_COMMANDS[command[0]](),
        [*command[1:], "--help"],
        env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"},
    )
    assert result.exit_code == 0, f"{' '.join(command)} is not a command: {result.stderr}"
    return result.stdout


def our_invocations(snippet: Snippet) -> list[list[str]]:
    invocations: list[list[str]] = []
    for line in snippet.commands:
        words = shlex.split(line, comments=True)
        while words and ("=" in words[0] or words[0] in {"exec", "nohup", "sudo"}):
            words.pop(0)
        if words and Path(words[0]).name in OUR_COMMANDS:
            invocations.append([Path(words[0]).name, *words[1:]])
    return invocations


def listed_subcommands(help_page: str) -> set[str]:
    """The names under "Commands" on a help page, plain or boxed."""
    commands = help_page.partition("Commands")[2]
    return set(re.findall(r"^(?:[│|] |  )([a-z][a-z-]*)(?: |$)", commands, re.M))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("snippet", snippets("bash"), ids=lambda snippet: snippet.name)
def test_the_commands_and_options_in_a_shell_block_exist(snippet: Snippet) -> None:
    syntax = subprocess.run(["bash", "-n"], input=snippet.body, text=True, capture_output=True, check=False)
    assert syntax.returncode == 0, syntax.stderr
    for words in our_invocations(snippet):
        command = [words[0]]
        rest = words[1:]
        while rest and rest[0] in listed_subcommands(help_text(tuple(command))):
            command.append(rest.pop(0))
        page = help_text(tuple(command))
        assert len(command) > 1 or all(word.startswith("-") for word in rest), (
            f"no such command: {shlex.join(words)}"
        )
        for word in rest:
            if word.startswith("--"):
                assert word.split("=", 1)[0] in page, f"{shlex.join(command)} has no option {word}"
    for line in snippet.commands:
        if line.startswith("make "):
            dry = subprocess.run(
                ["make", "-n", line.split()[1]], cwd=ROOT, capture_output=True, text=True, check=False
            )
            assert dry.returncode == 0, dry.stderr


def pages_with_commands_to_run() -> list[Path]:
    return [page for page in documentation_pages() if runnable(page)]


def runnable(page: Path) -> list[Snippet]:
    return [
        snippet
        for snippet in snippets("bash")
        if snippet.path == page
        and snippet.marker is None
        # A make target is a whole run of its own; that it exists is checked above.
        and not all(line.startswith("make ") for line in snippet.commands)
    ]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "page", pages_with_commands_to_run(), ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_the_shell_blocks_of_a_page_run_from_top_to_bottom(page: Path, tmp_path: Path) -> None:
    """One home directory for the whole page, as for a reader who follows it."""
    for snippet in runnable(page):
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", snippet.body],
            cwd=tmp_path,
            env=environment(tmp_path),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, f"{snippet.name}\n{result.stdout}{result.stderr}"


@pytest.mark.parametrize("snippet", snippets("json"), ids=lambda snippet: snippet.name)
def test_a_json_block_parses(snippet: Snippet) -> None:
    json.loads(snippet.body)


@pytest.mark.parametrize("snippet", snippets("yaml"), ids=lambda snippet: snippet.name)
def test_a_yaml_block_is_a_configuration_that_its_server_accepts(snippet: Snippet, tmp_path: Path) -> None:
    configuration = tmp_path / "configuration.yaml"
    configuration.write_text(snippet.body)
    if snippet.body.startswith("# executor.yaml"):
        assert load_executor_settings({"EXECUTOR_CONFIG": str(configuration)})
    elif snippet.body.startswith("# policies/"):
        people = KnownPeople.of({"approver": ("ada", "bob")})
        assert load_rules({snippet.name: snippet.body}, people, datetime.now(UTC)).rules
    else:
        assert snippet.body.startswith("# config.yaml"), "the first line says whose configuration it is"
        assert read_settings({"HITL_CONFIG": str(configuration)})


def test_every_block_has_a_known_language_and_marker() -> None:
    fences = re.compile(r"^```(\S*)$", re.M)
    for page in documentation_pages():
        opening = fences.findall(page.read_text())[::2]
        assert set(opening) <= LANGUAGES, page
    assert {snippet.marker for snippet in snippets(*LANGUAGES)} <= MARKERS


@pytest.mark.parametrize("page", documentation_pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_links_of_a_page_lead_to_files_that_exist(page: Path) -> None:
    missing = [target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert missing == []
