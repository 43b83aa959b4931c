"""The memory of a process that holds keys, and another process of the same user."""

from __future__ import annotations

import inspect
import os
import pwd
import subprocess
import sys

import pytest

from server_kit import process_memory

THIEF = """
import ctypes, sys
pid = int(sys.argv[1])
try:
    memory = open(f"/proc/{pid}/mem", "rb")
    for line in open(f"/proc/{pid}/maps"):
        span, mode = line.split()[:2]
        if "r" not in mode or "[v" in line:
            continue
        start, end = (int(part, 16) for part in span.split("-"))
        try:
            memory.seek(start)
            if b"half-of-a-secret" * 2 in memory.read(end - start):
                sys.exit(9)
        except (OSError, ValueError):
            continue
except OSError as error:
    print("refused", error.errno)
for path in ("environ", "maps", "fd/0"):
    try:
        open(f"/proc/{pid}/{path}", "rb").read(1)
        print("open", path)
    except OSError:
        pass
if ctypes.CDLL(None, use_errno=True).ptrace(16, pid, 0, 0) == 0:
    print("attached")
"""


@pytest.mark.parametrize("protected", [False, True])
def test_another_process_of_the_same_user_cannot_read_a_protected_memory(protected: bool) -> None:
    if os.geteuid() == 0:
        account = pwd.getpwnam("nobody")
        user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    else:
        user = {}
    # Read by root before the user changes: the checkout need not be readable by everybody.
    module = inspect.getsource(process_memory) if protected else ""
    code = f"secret = 'half-of-a-secret' * 2\n{module.replace('from __future__ import annotations', '')}\n"
    code += "keep_memory_private()\n" if protected else ""
    code += "import sys; print('ready', flush=True); sys.stdin.read()\n"
    python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
    holder = subprocess.Popen(
        [python, "-I", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
        **user,  # pyright: ignore[reportArgumentType, reportCallIssue]
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n"
        thief = subprocess.run(
            [python, "-I", "-c", THIEF, str(holder.pid)],
            capture_output=True,
            cwd="/",
            timeout=30,
            check=False,
            **user,  # pyright: ignore[reportArgumentType, reportCallIssue]
        )
    finally:
        holder.communicate()
    if protected:
        assert (thief.returncode, thief.stdout.split()) == (0, [b"refused", b"13"]), thief
    else:
        assert b"open environ" in thief.stdout or thief.returncode == 9, thief
