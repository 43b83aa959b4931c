"""Texts that look like secrets: keys and tokens by their known forms, and passwords by their names."""

from __future__ import annotations

import re
from typing import Final

MAX_SEARCHED: Final = 200_000

_KNOWN_FORMS: Final = re.compile(
    r"""-----BEGIN\ (?:[A-Z]{2,12}\ ){0,3}PRIVATE\ KEY
      | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b
      | \bgh[pousr]_[A-Za-z0-9]{30,} | \bgithub_pat_[A-Za-z0-9_]{40,} | \bglpat-[\w-]{20,}
      | \bxox[abeprs]-[A-Za-z0-9-]{10,} | hooks\.slack\.com/services/T\w+
      | \bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{20,} | \b[rs]k_live_[A-Za-z0-9]{16,}
      | \bAIza[0-9A-Za-z_-]{35}\b | \bya29\.[\w-]{20,} | \bnpm_[A-Za-z0-9]{30,} | \bpypi-[A-Za-z0-9_-]{50,}
      | \bSG\.[\w-]{16,}\.[\w-]{16,} | \bhvs\.[\w-]{20,} | \bdop_v1_[0-9a-f]{40,}
      | \beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}
      | \b(?:postgres(?:ql)?|mysql|mongodb(?:\+srv)?|redis|amqps?|ftp|https?)://[^\s:/@'"]{1,80}:[^\s/@'"${<]{3,80}@
    """,
    re.VERBOSE,
)
_NAMED: Final = re.compile(
    r"""(?:pass(?:word|wd|phrase)|secret|api[_-]?key|access[_-]?key|auth[_-]?token|private[_-]?key|client[_-]?secret)
        ["']?\s{0,8}[:=]\s{0,8}["']([^"'\s]{8,200})["']""",
    re.IGNORECASE | re.VERBOSE,
)
_PLACEHOLDER: Final = re.compile(
    r"(?i)change|example|placeholder|your|dummy|test|sample|redacted|\*{3}|\.{3}|<|\$\{|\{\{|env|none|null|password$"
)
_SECRET_NAME: Final = re.compile(
    r"(?i)(?:^|[_.-])(?:pass(?:word|wd|phrase)?|secrets?|tokens?|api_?keys?|keys?|credentials?|auth|cookie|session|jwt|dsn"
    r"|pat|pwd)(?:$|[_.-])|(?:database|redis|mongo|postgres)_ur[il]"
)


def find_secret(text: str) -> int | None:
    """Return where (0-based offset) the first text that looks like a secret starts, or None."""
    searched = text[:MAX_SEARCHED]
    if (known := _KNOWN_FORMS.search(searched)) is not None:
        return known.start()
    for named in _NAMED.finditer(searched):
        value = named[1]
        if not _PLACEHOLDER.search(value) and len(set(value)) >= 6:
            return named.start()
    return None


def is_secret_name(name: str) -> bool:
    """Tell whether a variable, header or field of this name usually holds a secret."""
    return _SECRET_NAME.search(name) is not None
