"""The checks of bandit that our own rules do not cover: unsafe uses of well-known libraries.

They are called one by one with names that we resolved, so that an alias does not get past them, and without
bandit's manager, which reads files and logs.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any, Final

from code_safety.findings import Rule, Severity
from code_safety.python.program import Program, without_warnings

MAX_CALLS: Final = 500
"""Most calls of a program that bandit's checks are asked about."""

_TRIGGERS: Final = frozenset(
    [
        "get",
        "post",
        "put",
        "patch",
        "delete",
        "head",
        "options",
        "request",
        "Client",
        "AsyncClient",
        "stream",
        "load",
        "set_missing_host_key_policy",
        "extractall",
        "extract",
        "chmod",
        "run",
        "listen",
        "new",
        "md5",
        "sha1",
        "md4",
        "crypt",
        "Environment",
        "Template",
        "generate",
        "generate_private_key",
        "exec_command",
        "invoke_shell",
        "from_pretrained",
        "load_dataset",
        "hf_hub_download",
        "snapshot_download",
        "wrap_socket",
        "Context",
        "CommunityData",
        "UsmUserData",
    ]
)
"""Last names of the calls that any of the checks is about: the others are not even asked."""

_SEVERITIES: Final = {"LOW": Severity.LOW, "MEDIUM": Severity.MEDIUM, "HIGH": Severity.HIGH}

Check = Callable[[Any], Any]


_CHECKS: Final = (
    ("app_debug", "flask_debug_true", "debug mode on"),
    ("crypto_request_no_cert_validation", "request_with_no_cert_validation", "certificates are not checked"),
    ("hashlib_insecure_functions", "hashlib", "broken hash function"),
    (
        "huggingface_unsafe_download",
        "huggingface_unsafe_download",
        "downloads a model without a fixed version",
    ),
    ("injection_paramiko", "paramiko_calls", "runs commands on another machine"),
    ("jinja2_templates", "jinja2_autoescape_false", "templates without escaping"),
    ("logging_config_insecure_listen", "logging_config_insecure_listen", "takes settings from the network"),
    ("mako_templates", "use_of_mako_templates", "templates without escaping"),
    ("pytorch_load", "pytorch_load", "loads a model that can hold code"),
    ("snmp_security_check", "snmp_insecure_version_check", "unencrypted network management"),
    ("ssh_no_host_key_verification", "ssh_no_host_key_verification", "host keys are not checked"),
    ("tarfile_unsafe_members", "tarfile_unsafe_members", "unpacks an archive that can write anywhere"),
    ("yaml_load", "yaml_load", "loads YAML that can hold code"),
)


@dataclass(frozen=True, slots=True)
class Checks:
    """Bandit's checks, each with what it finds in our words, and the class of what they are asked about."""

    checks: tuple[tuple[str, Check], ...]
    context: Callable[[dict[str, Any]], Any]


@lru_cache(maxsize=1)
def load_checks() -> Checks:
    """Import bandit. It takes 0.2 s, which a start over stdio should not: hence at first use."""
    with without_warnings():  # Of stevedore, about how bandit calls it.
        checks = tuple(
            (words, getattr(import_module(f"bandit.plugins.{module}"), function))
            for module, function, words in _CHECKS
        )
        return Checks(checks, import_module("bandit.core.context").Context)


def inspect_with_bandit(program: Program, calls: list[ast.Call]) -> None:
    """Ask bandit's checks about calls; a check that fails on one has no opinion of it."""
    asked = [(node, name) for node in calls if (name := _name(program, node)).rpartition(".")[2] in _TRIGGERS]
    if not asked:
        return
    bandit = load_checks()
    imports = {part for path in program.names.imported for part in (path, path.partition(".")[0])}
    for node, name in asked[:MAX_CALLS]:
        context = bandit.context(
            {
                "node": node,
                "call": node,
                "qualname": name,
                "name": name.rpartition(".")[2],
                "imports": imports,
                "import_aliases": {},
                "lineno": node.lineno,
                "function": None,
                "filename": "",
            }
        )
        for words, check in bandit.checks:
            try:
                issue = check(context)
            except Exception:  # noqa: S112 - foreign code on hostile input; our own rules judge the call too
                continue
            if issue is not None:
                severity = _SEVERITIES.get(str(issue.severity), Severity.MEDIUM)
                rule = Rule.PYTHON_UNPICKLES if "hold code" in words else Rule.PYTHON_WEAK_PRACTICE
                program.inspection.add(rule, program.place(node), severity, words)


def _name(program: Program, node: ast.Call) -> str:
    names = program.names.resolve(node.func)
    return names[0] if names else ""
