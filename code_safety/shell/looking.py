"""Tools of which some uses only look: by their sub-command, and as long as nothing makes them do more."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

# Looking at these is more than looking.
_SECRET: Final = re.compile(r"secret|credential|passw|token|_?auth|private.?key", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Looking:
    """One tool. `uses` are the first words of the uses that look; `valued` options may stand before them.

    `only_with`: one of these has to be there. `refused`: words and options that make it do more; options are
    compared up to their equals sign.
    """

    uses: frozenset[tuple[str, ...]] = frozenset({()})
    valued: frozenset[str] = frozenset()
    only_with: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    may_assign: bool = False


def _tool(
    uses: str = "", *, valued: str = "", only_with: str = "", refused: str = "", may_assign: bool = True
) -> Looking:
    paths = frozenset(tuple(use.split()) for use in uses.split(",")) if uses else frozenset({()})
    return Looking(
        paths,
        frozenset(valued.split()),
        frozenset(only_with.split()),
        frozenset(refused.split()),
        may_assign,
    )


_TOOLS: Final[Mapping[str, Looking]] = {
    "kubectl": _tool(
        "get, describe, logs, top, version, explain, api-resources, cluster-info, rollout status, "
        "rollout history",
        valued="-n --namespace --context",
        refused="--raw --kubeconfig --server -s -f --filename --as --exec --token --username --password "
        "--user --cluster --insecure-skip-tls-verify --output-directory --profile-output --cache-dir",
    ),
    "helm": _tool(
        "list, status, history, version, search, lint",
        valued="-n --namespace",
        refused="--kubeconfig --post-renderer --kube-apiserver --kube-token --registry-config "
        "--repository-config --repository-cache",
    ),
    "docker": _tool(
        "ps, images, logs, version, info, stats, top, port, history, diff, compose ps, compose logs, "
        "compose images, compose top, compose config --services, volume ls, network ls, image ls, "
        "container ls",
        refused="-H --host --config -c --context --tlscacert --tlscert --tlskey",
    ),
    "gh": _tool(
        "pr list, pr view, pr checks, pr diff, pr status, issue list, issue view, issue status, run list, "
        "run view, release list, release view, repo view, workflow list, workflow view, status",
        refused="--web -w",
    ),
    "aws": _tool("s3 ls, sts get-caller-identity", valued="--profile --region", refused="--endpoint-url"),
    "npm": _tool(
        "ls, list, view, outdated, audit, config get", refused="fix --registry --prefix --userconfig"
    ),
    "ruff": _tool("check", refused="--fix --fix-only --unsafe-fixes --add-noqa -o --output-file --watch"),
    "black": _tool(only_with="--check --diff"),
    "isort": _tool(only_with="--check --check-only --diff"),
    "gofmt": _tool(only_with="-l -d", refused="-w -cpuprofile"),
    "rustfmt": _tool(only_with="--check"),
    "terraform": _tool("validate, version, graph, providers, fmt -check", refused="-chdir lock mirror"),
    "shellcheck": _tool(),
    "yamllint": _tool(),
    "hadolint": _tool(),
    "actionlint": _tool(refused="-shellcheck -pyflakes"),
    "codespell": _tool(refused="-w --write-changes -i --interactive"),
    "radon": _tool("cc, mi, raw, hal", refused="-O --output-file"),
    "vulture": _tool(),
    "bandit": _tool(refused="-o --output --exit-zero -b --baseline"),
    "gitleaks": _tool("detect, version", refused="-r --report-path -c --config"),
    "ss": _tool(refused="-K --kill -D --diag"),
    "lsof": _tool(),
    "fc-list": _tool(),
    "getent": _tool("services, protocols, group"),
    "pdfinfo": _tool(),
    "sysctl": _tool(refused="-w --write -p --load --system -a -A --all", may_assign=False),
    "printenv": _tool("SHELL, HOME, USER, LANG, TERM, PWD, EDITOR, LOGNAME"),
}


def _bundled(argument: str, option: str) -> bool:
    """Whether a short option stands among others (`-tK`), or has its value attached (`-oFILE`)."""
    if len(option) != 2 or not argument.startswith("-") or argument.startswith("--"):
        return False
    letters = argument[1:]
    # What follows these is their value.
    first = next((place for place, letter in enumerate(letters) if letter in "nol"), len(letters))
    return option[1] in letters[: first + 1] or (letters[:1] not in {"n", "o", "l"} and option[1] in letters)


def is_known(program: str) -> bool:
    """Tell whether this program is described here."""
    return program in _TOOLS


def only_looks(program: str, arguments: Sequence[str]) -> bool:
    """Tell whether the program with these arguments is known to only look. What paths name is for others."""
    tool = _TOOLS[program]
    rest = list(arguments)
    while rest and rest[0].partition("=")[0] in tool.valued:
        del rest[: 1 if "=" in rest[0] else 2]
    if not any(tuple(rest[: len(use)]) == use for use in tool.uses):
        return False
    options = {argument.partition("=")[0] for argument in arguments}
    if any(_bundled(argument, option) for argument in arguments for option in tool.refused):
        return False
    if tool.refused & options or (tool.only_with and not tool.only_with & options):
        return False
    if not tool.may_assign and any("=" in argument for argument in arguments):
        return False
    return not any(_SECRET.search(argument) for argument in arguments)
