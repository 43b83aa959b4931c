"""Node.js: scripts and ES modules; see `drivers/node_driver.cjs`."""

from __future__ import annotations

from typing import Final

from executor_mcp.sandbox.languages.language import Driver, SandboxLanguage
from hitl_contract.action_code import Language

_PROBE: Final = """
const fs = require("node:fs");
const packages = new Set();
for (const folder of ["/usr/share/nodejs", "/usr/lib/node_modules", "/usr/local/lib/node_modules"]) {
  for (const name of fs.existsSync(folder) ? fs.readdirSync(folder) : []) {
    try {
      const found = JSON.parse(fs.readFileSync(`${folder}/${name}/package.json`, "utf8"));
      packages.add(`${found.name}@${found.version}`);
    } catch {}
  }
}
console.log(JSON.stringify({ version: process.versions.node, packages: [...packages].sort() }));
"""

NODEJS: Final = SandboxLanguage(
    name=Language.NODEJS,
    interpreter="node",
    program_name="program.mjs",
    probe=("-e", _PROBE),
    # Only so that a module's last value can be had: Node.js itself throws it away.
    options=("--experimental-vm-modules",),
    driver=Driver("node_driver.cjs"),
    input="the global variable input_data, files in the current directory",
    result=(
        "a module's default export, else the value of the last expression, awaited; what has no JSON as "
        "{type, repr}"
    ),
    debian_packages=("nodejs",),
)
