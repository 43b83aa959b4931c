"""Python: the value of the last expression, figures and tables; see `drivers/python_driver.py`."""

from __future__ import annotations

from typing import Final

from executor_mcp.sandbox.languages.language import Driver, SandboxLanguage
from hitl_contract.action_code import Language

PYTHON_OPTIONS: Final = ("-I", "-B", "-X", "utf8")
"""Isolated: neither the environment nor the work directory changes what the interpreter itself loads."""

_PROBE: Final = """
import json, sys
from importlib.metadata import distributions
names = {f"{one.metadata['Name']}=={one.version}" for one in distributions() if one.metadata["Name"]}
print(json.dumps({"version": sys.version.split()[0], "packages": sorted(names)}))
"""

PYTHON: Final = SandboxLanguage(
    name=Language.PYTHON,
    interpreter="python3",
    program_name="program.py",
    probe=("-I", "-c", _PROBE),
    options=PYTHON_OPTIONS,
    driver=Driver("python_driver.py", preflight="import json\nprint(input_data)\n[{'value': f'{1}'}]\n"),
    # Figures are drawn into files, and what matplotlib keeps for itself is not among those.
    environment=lambda _: {"MPLBACKEND": "Agg", "MPLCONFIGDIR": "/tmp/.matplotlib"},  # noqa: S108
    input="the variable input_data, files in the current directory",
    result=(
        "the value of the last expression; a data frame as columns, types and rows and as a CSV file, a "
        "figure as a PNG file, what has no JSON as {type, repr}"
    ),
    debian_packages=("python3",),
)
