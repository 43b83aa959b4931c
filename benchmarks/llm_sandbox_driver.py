"""Runs in the virtual environment of llm-sandbox: one open session, in which a program runs for each line.

`python llm_sandbox_driver.py IMAGE LABEL PROGRAM` prints `ready`, and for each line that it reads one line of
JSON: the seconds that `session.run` took and what the program printed. It ends with its input.
"""

from __future__ import annotations

import importlib
import json
import sys
import time


def main(image: str, label: str, program: str) -> None:
    """Serve until the input ends."""
    # Not a dependency of the project: it is installed beside this script's interpreter alone.
    llm_sandbox = importlib.import_module("llm_sandbox")
    name, _, value = label.partition("=")
    with llm_sandbox.SandboxSession(
        lang="python",
        image=image,
        # It would make a virtual environment in the container and upgrade pip there, over the network.
        skip_environment_setup=True,
        runtime_configs={
            # It runs `python`, which Debian calls python3.
            "entrypoint": [
                "sh", "-c", "ln -s /usr/bin/python3 /usr/local/bin/python && exec sleep infinity"
            ],
            "init": True,
            "network_mode": "none",
            "labels": {name: value},
        },
    ) as session:  # fmt: skip
        print("ready", flush=True)
        for _ in sys.stdin:
            began = time.perf_counter()
            answer = session.run(program)
            seconds = time.perf_counter() - began
            print(json.dumps({"seconds": seconds, "stdout": answer.stdout}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
