"""What a path says about what it is: credentials, the system's files, something that runs by itself later.

Paths are judged as text; nothing is looked up. A path may be partly unknown: its known parts are judged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from code_safety.findings import Rule, Severity

MAX_PATH_CHARACTERS: Final = 4096

_CREDENTIALS: Final = re.compile(
    r"""(?:^|[/\\~\s'"=:@])(?:
        \.ssh(?:[/\\]|$) | \.aws(?:[/\\]|$) | \.gnupg(?:[/\\]|$) | \.kube(?:[/\\]|$) | \.azure(?:[/\\]|$)
      | \.config[/\\](?:gcloud|gh|op|rclone|git[/\\]credentials|google-chrome|chromium|claude)
      | \.docker[/\\]config\.json | \.netrc | _netrc | \.pgpass | \.my\.cnf | \.git-credentials | \.npmrc
      | \.pypirc | \.vault-token | \.claude(?:\.json|[/\\]\.credentials) | \.env(?:\.[\w-]+)?(?=$|[\s'"])
      | \.bash_history | \.zsh_history | \.python_history | \.psql_history | \.mozilla(?:[/\\]|$)
      | \.password-store | \.cargo[/\\]credentials | \.terraform\.d[/\\]credentials | \.hitl(?:[/\\]|$)
      | id_(?:rsa|dsa|ecdsa|ed25519)\b | authorized_keys | known_hosts\b
      | etc[/\\](?:shadow|gshadow|sudoers|krb5\.keytab|ssh(?:[/\\]|$)|ssl[/\\]private|security|master\.passwd)
      | proc[/\\](?:self|thread-self|\d+|\*|\$\$)[/\\](?:environ|mem|maps|cmdline|fd|root|cwd)
      | run[/\\]secrets | var[/\\]run[/\\]secrets | docker\.sock\b | containerd\.sock\b
      | Login\ Data\b | logins\.json\b | key[34]\.db\b | cookies\.sqlite\b | wallet\.dat\b | keystore\b
      | [\w.-]*\.(?:pem|p12|pfx|jks|keytab|kdbx|ovpn|asc|key|tfstate)(?=$|[\s'"])
      | (?:[\w-]*[-_])?(?:service[-_]account|client_secret|credentials?|secrets?)[\w-]*
        \.(?:json|ya?ml|toml|ini|txt|csv)\b
      | credentials(?=$|[\s'"])
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_IDENTITIES: Final = re.compile(r"(?:^|[\s'\"=:@])/?etc/(?:passwd|group|hosts)\b")
_METADATA: Final = re.compile(
    r"169\.254\.169\.254|169\.254\.170\.2\b|metadata\.google\.internal|metadata\.azure|100\.100\.100\.200"
    r"|fd00:ec2::254|\b2852039166\b|0xa9fea9fe",
    re.IGNORECASE,
)
_SYSTEM: Final = re.compile(
    r"^(?:/(?:etc|usr|bin|sbin|lib|lib32|lib64|boot|sys|proc|dev|root|opt|srv|var|run|System|Library|Applications)"
    r"(?:/|$)|[A-Za-z]:[/\\]|\\\\)"
)
_HARMLESS_DEVICE: Final = re.compile(
    r"^/dev/(?:null|zero|stdin|stdout|stderr|tty|full|urandom|random|fd/\d+)$|^/dev/shm/"
)
_NETWORK_DEVICE: Final = re.compile(r"/dev/(?:tcp|udp)/")
_SCRATCH: Final = re.compile(r"^/(?:tmp|var/tmp|dev/shm|workspace|sandbox)(?:/|$)")
_RUNS_LATER: Final = re.compile(
    r"""(?:^|[/\\])(?:
        \.(?:bashrc|bash_profile|bash_login|bash_logout|bash_aliases|profile|zshrc|zshenv|zprofile|zlogin
           |inputrc|vimrc|exrc|emacs|pythonrc(?:\.py)?|gitconfig|gdbinit|tmux\.conf|screenrc|xinitrc|xprofile)
      | \.config[/\\](?:autostart|systemd|fish|nvim) | \.git[/\\](?:hooks|config) | \.husky | \.vscode
      | \.cursor | \.claude | \.mcp\.json | \.envrc | \.local[/\\]bin | LaunchAgents | LaunchDaemons
      | cron(?:tab|\.d|\.daily|\.hourly|\.weekly|\.monthly)? | crontabs | systemd[/\\]system | init\.d
      | rc\.local
      | ld\.so\.(?:preload|conf)\S* | sitecustomize\.py | usercustomize\.py | [\w.-]+\.pth | conftest\.py
      | profile\.d | xdg[/\\]autostart | Startup | \.pre-commit-config\.yaml | \.pdbrc | \.gemini
      | AGENTS\.md | CLAUDE\.md
    )(?:[/\\]|$)""",
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class PathVerdict:
    """What is noteworthy about a path."""

    rule: Rule
    severity: Severity


def judge_text(text: str) -> PathVerdict | None:
    """Judge any text that may hold a path, such as a string of a program: credentials and metadata only."""
    if len(text) < 3:
        return None
    if _METADATA.search(text):
        return PathVerdict(Rule.HTTP_METADATA_ADDRESS, Severity.CRITICAL)
    if _CREDENTIALS.search(text[:MAX_PATH_CHARACTERS]):
        return PathVerdict(Rule.PATH_CREDENTIALS, Severity.HIGH)
    if _IDENTITIES.search(text[:MAX_PATH_CHARACTERS]):
        return PathVerdict(Rule.PATH_SYSTEM, Severity.MEDIUM)
    return None


def judge_read(path: str) -> PathVerdict | None:
    """Judge a path that is read."""
    if (verdict := judge_text(path)) is not None:
        return verdict
    cleaned = _clean(path)
    if _HARMLESS_DEVICE.match(cleaned) or _SCRATCH.match(cleaned):
        return None
    if is_disk_device(cleaned):
        return PathVerdict(Rule.PATH_SYSTEM, Severity.HIGH)
    if _leaves(cleaned):
        return PathVerdict(Rule.PATH_TRAVERSAL, Severity.MEDIUM)
    if _SYSTEM.match(cleaned):
        return PathVerdict(Rule.PATH_SYSTEM, Severity.MEDIUM)
    if _is_outside(cleaned):
        return PathVerdict(Rule.PATH_OUTSIDE, Severity.MEDIUM)
    return None


def judge_write(path: str) -> PathVerdict | None:
    """Judge a path that is written, moved over or deleted."""
    cleaned = _clean(path)
    if _HARMLESS_DEVICE.match(cleaned):
        return None
    if (verdict := judge_text(path)) is not None:
        return PathVerdict(verdict.rule, Severity.CRITICAL)
    if _RUNS_LATER.search(cleaned):
        return PathVerdict(Rule.PATH_RUNS_LATER, Severity.HIGH)
    if _SCRATCH.match(cleaned) and not _leaves(cleaned):
        return None
    if _SYSTEM.match(cleaned):
        return PathVerdict(Rule.PATH_SYSTEM, Severity.HIGH)
    if _leaves(cleaned):
        return PathVerdict(Rule.PATH_TRAVERSAL, Severity.HIGH)
    if _is_outside(cleaned):
        return PathVerdict(Rule.PATH_OUTSIDE, Severity.HIGH)
    return None


def runs_later(path: str) -> bool:
    """Tell whether a file of this name is run by itself: start-up files, hooks, schedules, agents' orders."""
    return _RUNS_LATER.search(_clean(path)) is not None


def is_network_device(path: str) -> bool:
    """Tell whether the shell would open a connection for this path."""
    return _NETWORK_DEVICE.search(path) is not None


def is_disk_device(path: str) -> bool:
    """Tell whether a path names a device other than the harmless ones."""
    cleaned = _clean(path)
    return cleaned.startswith("/dev/") and not _HARMLESS_DEVICE.match(cleaned)


def is_wide(path: str) -> bool:
    """Tell whether deleting this path deletes far more than a file of the work folder."""
    cleaned = _clean(path).rstrip("/*. ") if path not in {".", "..", "*"} else ""
    if path in {".", "./", "*", "./*"}:
        return False
    if cleaned in {"", "~", "$HOME", "${HOME}"} or _SYSTEM.match(cleaned + "/"):
        return True
    if path.startswith(("..", "~", "$HOME", "${HOME}")):
        return True
    return bool(re.match(r"^/(?:tmp|workspace|(?:home|Users|mnt|media|data)(?:/[^/]*)?|[^/]*)$", cleaned))


def _clean(path: str) -> str:
    path = path[:MAX_PATH_CHARACTERS].strip()
    path = path.removeprefix("file://")
    while "//" in path and not path.startswith(("http:", "https:")):
        path = path.replace("//", "/")
    while "/./" in path:
        path = path.replace("/./", "/")
    return path[2:] if path.startswith("./") else path


def _leaves(path: str) -> bool:
    depth = 0
    for part in re.split(r"[/\\]", path):
        if part == "..":
            depth -= 1
            if depth < 0:
                return True
        elif part not in {"", "."}:
            depth += 1
    return path.startswith("/") and "/.." in path


def _is_outside(path: str) -> bool:
    return path.startswith(("/", "~", "$HOME", "${HOME}", "\\"))
