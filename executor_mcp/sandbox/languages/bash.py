"""Bash: the interpreter itself runs the program, with what it would do anywhere else.

The exit status is the last command's, and of a pipeline that of its last command unless the program says
`set -o pipefail`. The input is in the file `$INPUT_DATA`; where it is an object its plain members are
variables besides, because Bash reads no JSON.
"""

from __future__ import annotations

import json
import re
from typing import Final

from executor_mcp.sandbox.base import SandboxJob
from executor_mcp.sandbox.languages.language import SandboxLanguage
from hitl_contract.action_code import Language

MAX_VARIABLE_BYTES: Final = 32 * 1024
MAX_VARIABLES_BYTES: Final = 64 * 1024
"""The kernel hands a program 128 KiB a variable at most; what is longer is in the file alone."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z", re.ASCII)
_PROBE: Final = """printf '{"version": "%s", "packages": []}\\n' "${BASH_VERSION%%(*}" """


def input_variables(job: SandboxJob) -> dict[str, str]:
    """`input_NAME` for each member of an object that is a text, a number, true or false.

    Left out: names that Bash has no variable for, texts with NUL, and what does not fit.
    """
    input_data = job.input_data
    if not isinstance(input_data, dict):
        return {}
    variables: dict[str, str] = {}
    room = MAX_VARIABLES_BYTES
    for name, value in input_data.items():
        if not _NAME.match(name) or not isinstance(value, str | int | float):
            continue
        text = value if isinstance(value, str) else json.dumps(value)
        size = len(name) + len(text.encode("utf-8", "surrogatepass"))
        if "\0" in text or size > min(room, MAX_VARIABLE_BYTES):
            continue
        room -= size
        # The prefix keeps an action from setting what the shell or the loader look for.
        variables[f"input_{name}"] = text
    return variables


BASH: Final = SandboxLanguage(
    name=Language.BASH,
    interpreter="bash",
    program_name="program.sh",
    probe=("--noprofile", "--norc", "-c", _PROBE),
    options=("--noprofile", "--norc"),
    environment=input_variables,
    input=(
        "the file $INPUT_DATA (JSON), plain members of an object as $input_NAME, files in the current "
        "directory"
    ),
    result="none; write files or standard output. The exit code is that of the last command",
    debian_packages=("bash",),
)
