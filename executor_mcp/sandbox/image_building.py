"""Builds the sandbox image, with or without an image registry.

With a base (`debian:bookworm-slim` where the engine has it or can pull it) the Dockerfile installs the Debian
packages that the languages name. Without one, `images/debootstrap.sh` makes a root file system with them from
the mirror that this host's apt uses; it is imported as the base, and the same Dockerfile only hardens it,
without network.
"""

from __future__ import annotations

import asyncio
import io
import os
import signal
import tarfile
import tempfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from executor_mcp.sandbox.docker import DockerEngine
from executor_mcp.sandbox.errors import ImageBuildFailed
from executor_mcp.sandbox.languages.registry import BUILT_IN, Languages
from executor_mcp.sandbox.settings import DEFAULT_IMAGE

BOOTSTRAPPED_BASE = "hitl-sandbox-base"
_TAG = "bootstrapped"
_DEBOOTSTRAP_SECONDS = 900
_LAST_LINES = 5


async def build_image(
    base: str | None,
    *,
    tag: str = DEFAULT_IMAGE,
    languages: Languages = BUILT_IN,
    report: Callable[[str], None] = lambda _: None,
) -> str:
    """Builds the image and returns its digest, `sha256:…`.

    Args:
        base: an image to build on, which the engine has or can pull; None makes one with debootstrap.
        tag: the name that the image gets.
        languages: those whose packages it has.
        report: called with each line of progress, on the event loop.

    Raises:
        SandboxUnavailable: no engine answers.
        ImageBuildFailed: with the last lines of what failed.
    """
    engine = DockerEngine()
    try:
        await engine.facts()
        if base is None:
            report("making a base image with debootstrap (about a minute)")
            await _bootstrap(engine, languages, report)
            image, network = f"{BOOTSTRAPPED_BASE}:{_TAG}", "none"
        else:
            image, network = base, "default"
        arguments = {"BASE": image, "NEEDED": needed(languages)}
        await engine.build(_context(), tag=tag, arguments=arguments, network=network, report=report)
        image_id = await engine.image_id(tag)
        if image_id is None:
            raise ImageBuildFailed(f"the engine built the image but does not have it under the name '{tag}'")
        return image_id
    finally:
        await engine.close()


def needed(languages: Languages) -> str:
    """The Dockerfile's argument: a word for each language, its interpreter and the packages it comes with."""
    return " ".join(f"{one.interpreter}={','.join(one.debian_packages)}" for one in languages)


def script_arguments(languages: Languages, archive: Path) -> tuple[str, str]:
    """What `images/debootstrap.sh` is given."""
    return str(archive), ",".join(languages.debian_packages)


def _context() -> bytes:
    """The build context: the Dockerfile and nothing else, so that nothing of this host can slip in."""
    content = _image_file("Dockerfile").encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


async def _bootstrap(engine: DockerEngine, languages: Languages, report: Callable[[str], None]) -> None:
    with tempfile.TemporaryDirectory(prefix="hitl-image-") as directory:
        archive = Path(directory) / "root.tar"
        await _run_script(_image_file("debootstrap.sh"), script_arguments(languages, archive), report)
        report("importing the root file system")
        await engine.import_root(archive, BOOTSTRAPPED_BASE, _TAG)


async def _run_script(script: str, arguments: tuple[str, ...], report: Callable[[str], None]) -> None:
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", script, "debootstrap.sh", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stderr is not None
    lines: list[str] = []
    try:
        async with asyncio.timeout(_DEBOOTSTRAP_SECONDS):
            async for line in process.stderr:
                text = line.decode("utf-8", "replace").strip()
                lines = [*lines[1 - _LAST_LINES :], text]
                report(text)
            status = await process.wait()
    except TimeoutError as error:
        raise ImageBuildFailed(f"debootstrap took longer than {_DEBOOTSTRAP_SECONDS} s") from error
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if status != 0:
        raise ImageBuildFailed(f"no base image could be made: {' | '.join(lines)}")


def _image_file(name: str) -> str:
    return (resources.files("executor_mcp.sandbox") / "images" / name).read_text(encoding="utf-8")
