"""Words in a text that are signs of risk. Quick and shallow: who hides them is left to other assessors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from hitl_mcp.approvals.levels import RiskLevel

_LOW, _MEDIUM, _HIGH, _CRITICAL = tuple(RiskLevel)


@dataclass(frozen=True, slots=True)
class Sign:
    """What the words are called in plain English, and how bad they are."""

    level: RiskLevel
    means: str


_SIGNS: Final[tuple[tuple[RiskLevel, str, tuple[str, ...]], ...]] = (
    (
        _CRITICAL,
        "removes a whole tree of the system or a home",
        (r"\brm\s+(?:-\w+\s+)*-\w*[rf]\w*\s+(?:-\S+\s+)*[\"']?(?:/|~|\$HOME)(?:\*|[\"']?\s|[\"']?$)",),
    ),
    (
        _CRITICAL,
        "writes to a disk or makes a file system",
        (
            r"\bmkfs(?:\.\w+)?\b",
            r"\bdd\b[^\n]{0,200}\bof=/dev/(?!null)",
            r">\s*/dev/(?:sd|nvme|vd)",
        ),
    ),
    (
        _CRITICAL,
        "runs what it downloads",
        (r"\b(?:curl|wget)\b[^\n|]{0,300}\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b",),
    ),
    (
        _CRITICAL,
        "opens a shell to the network",
        (
            r"/dev/tcp/",
            r"\bnc\b[^\n]{0,100}\s-e\b",
            r"\bsocat\b[^\n]{0,200}EXEC:",
        ),
    ),
    (_CRITICAL, "a fork bomb", (r":\(\)\s*\{",)),
    (
        _HIGH,
        "deletes files recursively",
        (
            r"\brm\s+(?:-\w+\s+)*-\w*[rR]",
            r"\brmtree\b",
            r"\brmSync\b",
            r"\brimraf\b",
            r"\bRemove-Item\b",
        ),
    ),
    (
        _HIGH,
        "drops or empties a table or database",
        (r"\b(?:drop\s+(?:table|database|schema|owned)|truncate(?:\s+table)?\s+[a-z\"])",),
    ),
    (_HIGH, "deletes rows without a condition", (r"\bdelete\s+from\s+[\w.\"]+\s*(?:;|$)",)),
    (
        _HIGH,
        "gives away rights",
        (
            r"\bgrant\s+all\b",
            r"\bsuperuser\b",
            r"\bNOPASSWD\b",
        ),
    ),
    (
        _HIGH,
        "reads or changes what proves who somebody is",
        (
            r"/etc/(?:shadow|sudoers|passwd)",
            r"\.ssh/",
            r"\bid_(?:rsa|ed25519)\b",
            r"authorized_keys",
            r"\.aws/credentials",
            r"\.kube/config",
            r"\.netrc",
            r"\.npmrc",
            r"\.pypirc",
        ),
    ),
    (
        _HIGH,
        "holds a credential",
        (
            r"\bAKIA[0-9A-Z]{16}\b",
            r"\bgh[pousr]_[A-Za-z0-9]{20,}",
            r"\bsk_live_\w+",
            r"-----BEGIN [A-Z ]*PRIVATE KEY",
        ),
    ),
    (
        _HIGH,
        "asks a cloud's metadata service",
        (
            r"169\.254\.169\.254",
            r"metadata\.google\.internal",
        ),
    ),
    (
        _HIGH,
        "shows a secret",
        (r"\b(?:get|describe|view|read|show|access)\s+(?:\S+\s+)?secrets?\b",),
    ),
    (
        _HIGH,
        "changes what all objects share",
        (r"[\"']__proto__[\"']", r"\bconstructor\.prototype\b"),
    ),
    (_HIGH, "overwrites the shared history", (r"\bpush\b[^\n]{0,100}\s(?:--force(?!-with-lease)|-f)\b",)),
    (
        _HIGH,
        "destroys infrastructure",
        (
            r"\bterraform\s+destroy\b",
            r"\bkubectl\b[^\n]{0,100}\bdelete\b",
            r"\bhelm\s+(?:uninstall|delete)\b",
        ),
    ),
    (
        _HIGH,
        "opens files to everybody",
        (
            r"\bchmod\b[^\n]{0,40}\b0?777\b",
            r"\bchmod\b[^\n]{0,40}\s[ugoa]*\+s\b",
        ),
    ),
    (
        _HIGH,
        "runs text as a program",
        (
            r"(?<![.\w])(?:eval|exec)\s*\(",
            r"\bnew Function\s*\(",
            r"\bbase64\s+(?:-d|-D|--decode)\b",
        ),
    ),
    (
        _HIGH,
        "turns a protection off",
        (
            r"verify_signature[\"']?\s*:\s*False",
            r"verify\s*=\s*False",
            r"--no-verify\b",
            r"--insecure\b",
            r"--privileged\b",
            r"privileged:\s*true",
            r"dangerously",
        ),
    ),
    (
        _HIGH,
        "speaks to an agent or a reviewer",
        (
            r"<!--[^>\n]{0,200}\b(?:assistant|agent|approve|ignore)\b",
            r"\bignore (?:all|previous) instructions",
        ),
    ),
    (
        _MEDIUM,
        "reads settings that hold secrets",
        (
            r"\.env(?:\.(?:local|production|staging))?(?=[\"'\s]|$)",
            r"\bjq\b[^\n]{0,200}(?:\benv\b|\$ENV)",
            r"\b(?:card_number|cvv|iban|ssn|password_hash)\b",
        ),
    ),
    (
        _MEDIUM,
        "hides a step in something that looks harmless",
        (
            r"\bman\s+(?:-P|--pager)",
            r"\b[gm]?awk\b[^\n]{0,300}\bprintf?\b[^\n]{0,100}>",
            r"\bReflect\.\w+\(\s*global",
            r"\.executescript\(",
            r"\.(?:rm|rmdir)\(",
            r"\bselect\s+(?:\w+\.)?(?:\w+_)?(?:delete|purge|drop|reset|setval|truncate|remove)\w*\s*\(",
            r"https?://[^\s\"']{1,300}=[A-Za-z0-9+/_%-]{20,}",
        ),
    ),
    (
        _MEDIUM,
        "acts as the machine's administrator",
        (
            r"\bsudo\b",
            r"\bsu\s+-",
        ),
    ),
    (
        _MEDIUM,
        "starts programs",
        (
            r"\bsubprocess\b",
            r"\bos\.(?:system|popen|exec\w*|spawn\w*)",
            r"\bchild_process\b",
        ),
    ),
    (
        _MEDIUM,
        "reaches the network",
        (
            r"\b(?:curl|wget|scp|sftp|rsync|ssh|nc|ftp)\s",
            r"\bimport\s+(?:socket|requests|httpx|aiohttp|smtplib|ftplib)\b",
            r"\burllib\.request\b",
            r"\bfetch\s*\(",
            r"\brequire\([\"'](?:node:)?https?[\"']\)",
        ),
    ),
    (
        _MEDIUM,
        "installs software",
        (
            r"\b(?:pip3?|npm|pnpm|yarn|uv|cargo|gem|apt|apt-get|brew|dnf|yum)\s+(?:-\S+\s+)*(?:install|add|i)\b",
        ),
    ),
    (
        _MEDIUM,
        "publishes or pushes",
        (
            r"\b(?:git|docker)\s+push\b",
            r"\b(?:npm|cargo|twine|gem)\s+(?:publish|upload|push)\b",
        ),
    ),
    (
        _MEDIUM,
        "changes rows or a schema",
        (
            r"\b(?:insert\s+into|update\s+[\w.\"]+\s+set|delete\s+from|alter\s+(?:table|role|user)|create\s+(?:table|index|view|role|user)|merge\s+into|grant\s+\w|revoke\s+\w)\b",
        ),
    ),
    (
        _MEDIUM,
        "loses work or ends processes",
        (
            r"\bgit\s+(?:reset\s+--hard|clean\s+-\w*f|checkout\s+--|branch\s+-D|stash\s+(?:drop|clear))",
            r"\b(?:kill|pkill|killall)\s",
        ),
    ),
    (
        _MEDIUM,
        "deletes files",
        (
            r"\b(?:rm|unlink|shred|truncate)\s+-?\w",
            r"\.unlink\(",
            r"\bos\.remove\(",
        ),
    ),
    (
        _MEDIUM,
        "changes services, rights or owners",
        (r"\b(?:systemctl\s+(?!status)|chmod|chown|crontab|usermod|useradd|iptables)\b",),
    ),
    (
        _MEDIUM,
        "changes a deployment",
        (
            r"\b(?:terraform|tofu|pulumi)\s+(?:apply|import|state)\b",
            r"\bkubectl\b[^\n]{0,60}\s(?:apply|scale|patch|exec|rollout\s+restart)\s",
            r"\bhelm\s+(?:upgrade|install)\b",
            r"\b(?:vercel|netlify|fly|make)\s+deploy\b",
        ),
    ),
    (
        _MEDIUM,
        "reads the environment",
        (
            r"\bos\.environ\b",
            r"\bprocess\.env\b",
            r"\bprintenv\s*(?:$|\|)",
        ),
    ),
)

_COMPILED: Final = tuple(
    (re.compile("|".join(patterns), re.IGNORECASE | re.MULTILINE), Sign(level, means))
    for level, means, patterns in _SIGNS
)

MAX_READ_CHARACTERS: Final = 65_536
"""Of a longer text the first half of this and the last half are read."""


def signs_in(text: str) -> list[Sign]:
    """The signs in a text, worst first."""
    if len(text) > MAX_READ_CHARACTERS:
        half = MAX_READ_CHARACTERS // 2
        text = f"{text[:half]}\n{text[-half:]}"
    return [sign for pattern, sign in _COMPILED if pattern.search(text)]
