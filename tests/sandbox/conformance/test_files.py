"""Files go in and come out through a controlled archive: regular files, bounded, safely named."""

from __future__ import annotations

import base64
import hashlib

import pytest

from executor_mcp.sandbox.amounts import MAX_RETURNED_FILES
from executor_mcp.sandbox.base import Sandbox
from executor_mcp.sandbox.errors import SandboxRefused
from hitl_contract.action_code import InputFile
from tests.sandbox.support import make_job, run

# They share one sandbox, which belongs to one event loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_new_and_changed_files_come_out_and_unchanged_ones_do_not(sandbox: Sandbox) -> None:
    binary = bytes(range(256))
    files = [
        InputFile(path="data/same.bin", content_base64=base64.b64encode(binary).decode()),
        InputFile(path="changed.txt", content="before"),
    ]
    code = (
        "import os\nassert open('data/same.bin', 'rb').read() == bytes(range(256))\n"
        "open('changed.txt', 'a').write('+after')\nos.makedirs('out/déjà')\n"
        "open('out/déjà/vu.csv', 'w').write('a,b\\n')\nopen('raw', 'wb').write(bytes(range(256)))"
    )
    outcome = await run(sandbox, "python", code, files=files)
    assert outcome.exit_code == 0, outcome.stderr
    created = {file.path: file for file in outcome.files}
    assert set(created) == {"changed.txt", "out/déjà/vu.csv", "raw"}
    assert created["changed.txt"].content == b"before+after"
    assert created["raw"].sha256 == hashlib.sha256(binary).hexdigest()
    assert created["raw"].size == 256
    types = {file.path: file.media_type for file in outcome.files}
    assert types == {
        "changed.txt": "text/plain",
        "out/déjà/vu.csv": "text/csv",
        "raw": "application/octet-stream",
    }
    assert not outcome.files_truncated


async def test_links_and_special_files_do_not_come_out_and_block_nothing(sandbox: Sandbox) -> None:
    code = """
ln -s /etc/passwd passwd; ln -s / root; ln -s ../../../../etc/hostname up; ln -s loop loop
mkfifo fifo; mknod device c 1 3 2>/dev/null; mknod disk b 8 0 2>/dev/null
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
mkdir folder; ln -s /etc folder/etc; echo kept > folder/kept.txt; ln folder/kept.txt twin.txt
"""
    outcome = await run(sandbox, "bash", code)
    assert {file.path: file.content for file in outcome.files} == {
        "folder/kept.txt": b"kept\n",
        "twin.txt": b"kept\n",
    }


async def test_a_hard_link_to_a_file_of_the_root_cannot_be_made(sandbox: Sandbox) -> None:
    code = "ln /etc/passwd stolen; ln /usr/bin/env tool; ls"
    outcome = await run(sandbox, "bash", code)
    assert outcome.files == ()


async def test_a_name_that_would_not_print_as_what_it_is_does_not_come_out(sandbox: Sandbox) -> None:
    code = r"""
for name in (b"a\nb", b"\x1b[2J", b"\xff\xfe", "safe\u202egpj.exe".encode(), b"c:\\x", b"fine"):
    open(name, "w").close()
"""
    outcome = await run(sandbox, "python", code)
    assert [file.path for file in outcome.files] == ["fine"]
    assert outcome.files_truncated


async def test_more_files_or_bytes_than_the_bounds_are_left_out_and_said_so(sandbox: Sandbox) -> None:
    many = await run(sandbox, "python", "for n in range(400):\n    open(f'f{n:03}', 'w').write('x')")
    assert len(many.files) == MAX_RETURNED_FILES
    assert many.files_truncated
    code = "for name in 'abc':\n    open(name, 'wb').write(bytes(20 * 2**20))\nopen('a', 'a').truncate(2**40)"
    big = await run(sandbox, "python", code, disk_mb=80, memory_mb=256)
    assert sum(file.size for file in big.files) <= 32 * 2**20
    assert big.files_truncated


async def test_a_deep_tree_and_a_folder_without_permissions_do_not_break_the_report(sandbox: Sandbox) -> None:
    code = (
        "import os\nos.mkdir('closed'); open('closed/x', 'w').close(); os.chmod('closed', 0)\n"
        "open('kept', 'w').close()\nfor n in range(60):\n    os.mkdir('d'); os.chdir('d')\n"
        "open('deep', 'w').close()"
    )
    outcome = await run(sandbox, "python", code)
    assert outcome.exit_code == 0, outcome.stderr
    assert [file.path for file in outcome.files] == ["kept"]
    assert outcome.files_truncated


async def test_an_input_file_named_like_the_program_is_kept_apart_from_it(sandbox: Sandbox) -> None:
    files = [InputFile(path="program.py", content="data"), InputFile(path="program-1.py/x", content="data")]
    outcome = await run(sandbox, "python", "print(open('program.py').read(), __file__)", files=files)
    assert outcome.stdout == b"data /tmp/work/program-2.py\n"


async def test_nothing_passes_from_one_run_to_the_next(sandbox: Sandbox) -> None:
    leave = "for f in /tmp/mark /dev/shm/mark mark; do echo x > $f || exit 1; done"
    assert (await run(sandbox, "bash", leave)).exit_code == 0
    look = "find / -xdev -name 'mark' -not -path '/usr/*' 2>/dev/null; ls /tmp /tmp/work /dev/shm"
    outcome = await run(sandbox, "bash", look)
    assert b"mark" not in outcome.stdout


async def test_a_path_too_long_for_the_kernel_is_refused_before_anything_is_prepared(
    sandbox: Sandbox,
) -> None:
    folder = "\U0001f600" * 63
    path = "/".join([folder] * 16)
    job = make_job("bash", "true", files=[InputFile(path=path, content="x")])
    with pytest.raises(SandboxRefused, match="path"):
        await sandbox.prepare(job)
