"""The checks of bandit that our own rules do not cover: unsafe uses of well-known libraries.

They are called one by one with names that we resolved, so that an alias does not get past them, and without
bandit's manager, which reads files and logs.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, cast

from code_safety.findings import Rule, Severity
from code_safety.python.program import Program

MAX_CALLS: Final = 500
"""Most calls of a program that bandit's checks are asked about."""

_TRIGGERS: Final = frozenset(
    """get post put patch delete head options request Client AsyncClient stream load set_missing_host_key_policy
    extractall extract chmod run listen new md5 sha1 md4 crypt Environment Template generate generate_private_key
    exec_command invoke_shell from_pretrained load_dataset hf_hub_download snapshot_download wrap_socket Context
    CommunityData UsmUserData""".split()
)
"""Last names of the calls that any of the checks is about: the others are not even asked."""

_SEVERITIES: Final = {"LOW": Severity.LOW, "MEDIUM": Severity.MEDIUM, "HIGH": Severity.HIGH}

Check = Callable[[Any], Any]


@lru_cache(maxsize=1)
def load_checks() -> tuple[tuple[str, Check], ...]:
    """Import bandit. It takes 0.2 s, which a start over stdio should not: hence at first use."""
    from bandit.plugins import (
        app_debug,
        crypto_request_no_cert_validation,
        hashlib_insecure_functions,
        huggingface_unsafe_download,
        injection_paramiko,
        jinja2_templates,
        logging_config_insecure_listen,
        mako_templates,
        pytorch_load,
        snmp_security_check,
        ssh_no_host_key_verification,
        tarfile_unsafe_members,
        weak_cryptographic_key,
        yaml_load,
    )

    weak_key: dict[str, Any] = cast("Any", weak_cryptographic_key).gen_config("weak_cryptographic_key")
    weak_key_check = cast("Any", weak_cryptographic_key).weak_cryptographic_key
    checks: list[tuple[str, Any]] = [
        ("debug mode on", app_debug.flask_debug_true),
        ("certificates are not checked", crypto_request_no_cert_validation.request_with_no_cert_validation),
        ("broken hash function", hashlib_insecure_functions.hashlib),
        ("downloads a model without a fixed version", huggingface_unsafe_download.huggingface_unsafe_download),
        ("runs commands on another machine", injection_paramiko.paramiko_calls),
        ("templates without escaping", jinja2_templates.jinja2_autoescape_false),
        ("takes logging settings from the network", logging_config_insecure_listen.logging_config_insecure_listen),
        ("templates without escaping", mako_templates.use_of_mako_templates),
        ("loads a model that can hold code", pytorch_load.pytorch_load),
        ("unencrypted network management", snmp_security_check.snmp_insecure_version_check),
        ("host keys are not checked", ssh_no_host_key_verification.ssh_no_host_key_verification),
        ("unpacks an archive that can write anywhere", tarfile_unsafe_members.tarfile_unsafe_members),
        ("key too short", lambda context: weak_key_check(context, weak_key)),
        ("loads YAML that can hold code", yaml_load.yaml_load),
    ]
    return tuple(checks)


def inspect_with_bandit(program: Program, calls: list[ast.Call]) -> None:
    """Ask bandit's checks about calls; a check that fails on one has no opinion of it."""
    asked = [(node, name) for node in calls if (name := _name(program, node)).rpartition(".")[2] in _TRIGGERS]
    if not asked:
        return
    from bandit.core.context import Context  # With the checks: at first use.

    imports = {part for path in program.names.imported for part in (path, path.partition(".")[0])}
    for node, name in asked[:MAX_CALLS]:
        context = Context(
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
        for words, check in load_checks():
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
