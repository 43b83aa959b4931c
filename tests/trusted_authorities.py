"""The certificates that this machine trusts, read once for the whole test process.

Each HTTP client reads them when it is made, even for plain HTTP, and takes longer over it than most tests.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from unittest.mock import patch

import httpcore2

_read = httpcore2.default_ssl_context


@contextmanager
def authorities_read_once() -> Generator[None]:
    """Clients made meanwhile share one context; another environment or another request gets another one."""

    @cache
    def read(trust_env: bool, file: str | None, directory: str | None) -> ssl.SSLContext:
        return _read(_trust_env=trust_env)

    def context(*, _trust_env: bool = True) -> ssl.SSLContext:
        return read(_trust_env, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))

    with patch.object(httpcore2, "default_ssl_context", context):
        yield
