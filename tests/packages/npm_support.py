"""A registry of npm's kind on the loopback, with packages made on the spot, and a keeper that asks it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from executor_mcp.packages.installing import Installer, Target, target_here
from executor_mcp.packages.locked import Distribution
from executor_mcp.packages.npm_archives import Room
from executor_mcp.packages.npm_installer import NpmInstaller
from executor_mcp.sandbox.base import LanguageDescription, SandboxDescription
from hitl_contract.action_code import Language

NODE: Final = "18.20.4"
TARGET: Final = target_here("18", Language.NODEJS)
SANDBOX: Final = SandboxDescription(
    backend="bubblewrap",
    runtime="bwrap",
    image_digest=None,
    languages=(LanguageDescription(Language.NODEJS, NODE),),
)


def member(name: str, content: bytes = b"", mode: int = 0o644, **more: Any) -> tuple[tarfile.TarInfo, bytes]:
    """One entry of an archive, whatever it claims to be."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    for key, value in more.items():
        setattr(info, key, value)
    return info, content


def archive(members: Sequence[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), mtime=0)


def package(manifest: Mapping[str, object], files: Mapping[str, str] | None = None) -> bytes:
    """An archive as `npm pack` makes it."""
    content = {"package.json": json.dumps(manifest), **(files or {})}
    return archive([member(f"package/{name}", text.encode()) for name, text in content.items()])


def integrity(content: bytes) -> str:
    return f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"


@dataclass
class Registry:
    """What a registry says of packages and the archives that it gives for them."""

    url: str = ""
    manifests: dict[str, dict[str, dict[str, object]]] = field(
        default_factory=dict[str, dict[str, dict[str, object]]]
    )
    archives: dict[str, bytes] = field(default_factory=dict[str, bytes])
    then: dict[str, Callable[[], None]] = field(default_factory=dict[str, "Callable[[], None]"])
    """What happens once a path was asked for."""

    def publish(
        self,
        name: str,
        version: str,
        files: Mapping[str, str] | None = None,
        *,
        content: bytes | None = None,
        claims: Mapping[str, object] | None = None,
        **manifest: object,
    ) -> None:
        """`manifest` is in `package.json` and in what the registry says; `claims` in the latter alone."""
        whole: dict[str, object] = {"name": name, "version": version, **manifest}
        made = package(whole, files) if content is None else content
        place = f"/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
        self.archives[place] = made
        said = {"dist": {"tarball": self.url + place, "integrity": integrity(made)}, **(claims or {})}
        self.manifests.setdefault(name, {})[version] = {**whole, **said}

    def answer(self, path: str) -> bytes | None:
        name = unquote(path.partition("?")[0])
        try:
            return self._find(name)
        finally:
            self.then.pop(name, lambda: None)()

    def _find(self, name: str) -> bytes | None:
        if name in self.archives:
            return self.archives[name]
        versions = self.manifests.get(name[1:])
        if versions is None:
            return None
        tags = {"latest": next(reversed(versions))}
        return json.dumps({"name": name[1:], "dist-tags": tags, "versions": versions}).encode()


@contextmanager
def serving() -> Iterator[Registry]:
    registry = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = registry.answer(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as its base class has it
            """Tests say what went wrong."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        registry.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield registry
        finally:
            server.shutdown()
            thread.join()


async def provide(
    installer: Installer, requirement: str, target: Target, staged: Path
) -> tuple[Distribution, ...]:
    """Both steps of an installer."""
    found = await installer.lock([requirement], target, staged)
    await installer.unpack(target, staged)
    return found


def npm_with(
    registry: Registry, home: Path, *, seconds: float = 60, room: Room | None = None
) -> NpmInstaller:
    """npm that knows this registry, in a home whose own settings would have it know another."""
    home.mkdir(parents=True, exist_ok=True)
    (home / ".npmrc").write_text("registry=http://127.0.0.1:1/\nignore-scripts=false\n")
    surroundings = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "npm_config_registry": registry.url,
        "npm_config_ignore_scripts": "false",
        "npm_config_global": "true",
        "NODE_OPTIONS": "--no-such-option",
    }
    return NpmInstaller(surroundings, seconds=seconds, room=room)
