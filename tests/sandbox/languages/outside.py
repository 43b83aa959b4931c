"""Runs a language's own command outside of a sandbox: what a driver does needs no container to be seen."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from executor_mcp.sandbox.languages.language import driver_source
from executor_mcp.sandbox.languages.registry import BUILT_IN
from hitl_contract.action_code import Language
from tests.sandbox.support import make_job


@dataclass(frozen=True)
class Ended:
    """How a program ended, with the files that it left beside itself."""

    exit_code: int
    stdout: str
    stderr: str
    result_text: str
    files: dict[str, bytes]

    @property
    def result(self) -> Any:
        assert self.result_text, (self.stdout, self.stderr)
        return json.loads(self.result_text)


def run_outside(
    folder: Path,
    language: str,
    code: str,
    *,
    input_data: Any = None,
    files: dict[str, bytes] | None = None,
    interpreter: str | None = None,
    packages: tuple[str, ...] = (),
) -> Ended:
    """`folder` is empty and the test's own. `interpreter` instead of the one that the host has."""
    described = BUILT_IN.of(Language(language))
    work = folder / "work"
    work.mkdir()
    given = {described.program_name: code.encode(), **(files or {})}
    for name, content in given.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_bytes(content)
    (folder / "input.json").write_text(json.dumps(input_data))
    command = [interpreter or described.interpreter, *described.options]
    if described.driver is not None:
        driver = folder / described.driver.file_name
        driver.write_text(driver_source(described.driver.file_name))
        command.append(str(driver))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(work),
        "LANG": "C.UTF-8",
        "INPUT_DATA": str(folder / "input.json"),
        "RESULT_BYTES": str(1024 * 1024),
        "MEMORY_MB": "256",
        **described.environment(make_job(language, code, input_data=input_data, packages=packages)),
    }
    with (folder / "result").open("wb") as result:
        # The result's place is descriptor 3 of the program, as in a sandbox.
        shell = ["bash", "-c", f'exec 3>&{result.fileno()}; exec "$@"', "bash", *command]
        done = subprocess.run(
            [*shell, str(work / described.program_name)],
            cwd=work,
            env=environment,
            pass_fds=[result.fileno()],
            capture_output=True,
            timeout=50,
            check=False,
        )
    return Ended(
        exit_code=done.returncode,
        stdout=done.stdout.decode(),
        stderr=done.stderr.decode(),
        result_text=(folder / "result").read_text(),
        files={
            str(path.relative_to(work)): path.read_bytes()
            for path in sorted(work.rglob("*"))
            if path.is_file() and path.read_bytes() != given.get(str(path.relative_to(work)))
        },
    )
