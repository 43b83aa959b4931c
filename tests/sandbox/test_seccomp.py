"""The profile is one file, starts from deny, and compiles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from executor_mcp.sandbox.errors import SandboxUnavailable
from executor_mcp.sandbox.seccomp import compile_profile, load_profile
from executor_mcp.sandbox.seccomp_profile import profile_text
from tests.sandbox.conftest import REPOSITORY

NEVER = {
    "mount", "umount2", "pivot_root", "chroot", "unshare", "setns", "ptrace", "process_vm_readv",
    "process_vm_writev", "pidfd_getfd", "io_uring_setup", "bpf", "keyctl", "add_key", "request_key",
    "perf_event_open", "userfaultfd", "memfd_secret", "kexec_load", "init_module", "finit_module",
    "open_by_handle_at", "name_to_handle_at", "quotactl", "swapon", "reboot", "modify_ldt", "fanotify_init",
    "shmget", "msgget", "semget", "mq_open", "syslog", "sync", "setuid", "setgid", "setgroups", "capset",
}  # fmt: skip


def test_calls_that_no_program_needs_are_allowed_by_no_rule() -> None:
    allowed = {
        name
        for rule in load_profile()["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW"
        for name in rule["names"]
    }
    assert not allowed & NEVER


def test_every_rule_says_why() -> None:
    assert all(rule["comment"] for rule in load_profile()["syscalls"])


def test_the_profile_in_configs_is_the_one_in_the_package() -> None:
    in_configs = json.loads((REPOSITORY / "configs/seccomp.json").read_text())
    in_package = json.loads((REPOSITORY / "executor_mcp/sandbox/seccomp.json").read_text())
    assert in_configs == in_package


def test_the_profile_is_the_one_that_the_readable_list_makes() -> None:
    in_package = (REPOSITORY / "executor_mcp/sandbox/seccomp.json").read_text()
    assert in_package == profile_text(), "python -m executor_mcp.sandbox.seccomp_profile FILE writes it"


def test_no_argument_is_compared_by_greater_than_which_bits_that_the_kernel_drops_would_meet() -> None:
    operators = {argument["op"] for rule in load_profile()["syscalls"] for argument in rule.get("args") or ()}
    assert operators <= {"SCMP_CMP_EQ", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ"}


def test_it_compiles_to_whole_bpf_instructions() -> None:
    program = compile_profile(load_profile())
    assert len(program) > 800
    assert len(program) % 8 == 0


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}'])
def test_a_profile_that_is_none_or_allows_by_default_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "profile.json"
    path.write_text(content)
    with pytest.raises(SandboxUnavailable, match=r"profile\.json cannot be used"):
        load_profile(path)
