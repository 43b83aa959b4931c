"""What the names of operations, paths and hosts say: verbs, places that matter, addresses."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from hitl_mcp.approvals.levels import RiskLevel
from hitl_mcp.risk.signs import Sign

_READS: Final = frozenset(
    {
        "browser",
        "check",
        "compare",
        "count",
        "describe",
        "diff",
        "explain",
        "fetch",
        "find",
        "get",
        "help",
        "info",
        "inspect",
        "list",
        "look",
        "lookup",
        "preview",
        "query",
        "read",
        "resolve",
        "search",
        "show",
        "snapshot",
        "stat",
        "status",
        "sum",
        "think",
        "validate",
        "view",
    }
)
_DESTROYS: Final = frozenset(
    {
        "clean",
        "cleanup",
        "delete",
        "destroy",
        "disable",
        "drop",
        "erase",
        "expire",
        "force",
        "kill",
        "merge",
        "pay",
        "payout",
        "permanent",
        "publish",
        "purge",
        "refund",
        "release",
        "remove",
        "reset",
        "revoke",
        "rollback",
        "rotate",
        "terminate",
        "transfer",
        "truncate",
        "uninstall",
        "wipe",
    }
)
_WORD: Final = re.compile(r"[a-z]+|[A-Z][a-z]*")

_DOCUMENTATION: Final = frozenset(
    {
        "api.github.com",
        "api.osv.dev",
        "crates.io",
        "developer.mozilla.org",
        "docs.docker.com",
        "docs.github.com",
        "docs.python.org",
        "docs.rs",
        "en.wikipedia.org",
        "github.com",
        "nodejs.org",
        "pandas.pydata.org",
        "pkg.go.dev",
        "raw.githubusercontent.com",
        "react.dev",
        "stackoverflow.com",
        "www.postgresql.org",
        "www.rfc-editor.org",
    }
)

_PLACES: Final[tuple[tuple[RiskLevel, str, tuple[str, ...]], ...]] = (
    (
        RiskLevel.HIGH,
        "changes what runs by itself",
        (
            r"(?:^|/)\.(?:git/hooks|husky)/",
            r"(?:^|/)(?:\.bashrc|\.profile|\.zshrc|\.bash_profile|crontab)$",
            r"^/etc/cron",
        ),
    ),
    (
        RiskLevel.HIGH,
        "changes the machine's own files",
        (r"^/(?:etc|usr|boot|lib|bin|sbin|root|proc|sys|dev)/",),
    ),
    (
        RiskLevel.HIGH,
        "changes what the agent may do",
        (
            r"(?:^|/)\.(?:claude|cursor|codex|vscode)/",
            r"(?:^|/)policies/[^/]*\.ya?ml$",
            r"(?:^|/)\.mcp\.json$",
        ),
    ),
    (
        RiskLevel.HIGH,
        "changes who may do what",
        (
            r"sudoers",
            r"sshd_config",
            r"pg_hba",
            r"(?:^|/)(?:role|rbac|iam)[^/]*\.(?:ya?ml|json|tf)$",
        ),
    ),
    (
        RiskLevel.MEDIUM,
        "changes the pipeline",
        (
            r"(?:^|/)\.github/",
            r"gitlab-ci",
            r"(?:^|/)(?:Jenkinsfile|\.circleci/|azure-pipelines)",
        ),
    ),
    (
        RiskLevel.MEDIUM,
        "changes dependencies or the build",
        (
            r"(?:^|/)(?:package(?:-lock)?\.json|[^/]*\.lock|yarn\.lock|pnpm-lock\.yaml|requirements[^/]*\.txt|pyproject\.toml|setup\.(?:py|cfg)|Cargo\.toml|go\.(?:mod|sum)|Gemfile|pom\.xml|build\.gradle[^/]*|Makefile|Dockerfile[^/]*|docker-compose[^/]*|justfile)$",
        ),
    ),
    (
        RiskLevel.MEDIUM,
        "changes infrastructure or deployment",
        (
            r"\.tf$",
            r"(?:^|/)(?:infra|deploy|k8s|helm|charts|ansible|nginx|terraform|roles)/",
        ),
    ),
    (
        RiskLevel.MEDIUM,
        "changes configuration or scripts",
        (
            r"(?:^|/)(?:config|settings|scripts|bin)/",
            r"\.(?:sh|ini|conf|cfg|env)$",
            r"(?:^|/)\.env",
            r"(?:^|/)\.git(?:ignore|attributes|modules)$",
            r"\.sql$",
            r"migrations?/",
        ),
    ),
    (
        RiskLevel.MEDIUM,
        "changes security code",
        (
            r"auth",
            r"login",
            r"permission",
            r"security",
            r"crypt",
            r"token",
            r"session",
            r"password",
            r"secret",
            r"payment",
            r"billing",
        ),
    ),
    (
        RiskLevel.MEDIUM,
        "outside of the working folder",
        (
            r"^[/~]",
            r"(?:^|/)\.\.(?:/|$)",
        ),
    ),
)
_COMPILED: Final = tuple(
    (re.compile("|".join(patterns), re.IGNORECASE), Sign(level, means)) for level, means, patterns in _PLACES
)


def sign_of_operation(name: str) -> Sign:
    """What an operation's name says: it reads, it changes, it destroys; an unfamiliar one may do anything."""
    words = [word.lower() for word in _WORD.findall(name)]
    if any(word in _DESTROYS for word in words):
        return Sign(RiskLevel.HIGH, "named as something that removes, ends or pays")
    if words and any(word in _READS for word in words):
        return Sign(RiskLevel.LOW, "named as something that only reads")
    return Sign(RiskLevel.MEDIUM, "not named as something that only reads")


def signs_of_path(path: str) -> list[Sign]:
    """What a path says about changing the file there."""
    plain = str(PurePosixPath(path))
    return [sign for pattern, sign in _COMPILED if pattern.search(plain)]


def sign_of_address(url: str) -> Sign:
    """What an address says about asking there, whatever is asked."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".").lower()
    if parts.username is not None:
        return Sign(RiskLevel.HIGH, "an address with a name in front of the host")
    try:
        ip_address(host)
    except ValueError:
        pass
    else:
        return Sign(RiskLevel.HIGH, "a bare network address")
    if host in _DOCUMENTATION and parts.scheme == "https" and not parts.query:
        return Sign(RiskLevel.LOW, "a public site of documentation or packages")
    return Sign(RiskLevel.MEDIUM, "a host that is not known for being read by everybody")
