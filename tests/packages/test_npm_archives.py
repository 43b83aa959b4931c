"""Archives and locks that attack: each is refused, and nothing of it lies outside its directory."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import tarfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from executor_mcp.packages.errors import PackageNotInstallable
from executor_mcp.packages.npm_archives import Room, unpack_npm
from executor_mcp.packages.npm_fitness import NpmPlatform
from executor_mcp.packages.npm_lock import NpmEntry, read_npm_lock
from executor_mcp.packages.to_the_end import to_its_end
from tests.packages.npm_support import archive, integrity, member, package

MANIFEST = {"name": "alpha", "version": "1.0.0"}
GOOD = member("package/package.json", json.dumps(MANIFEST).encode())
PLATFORM = NpmPlatform("linux", "x64", "glibc", "18.20.4")
HASH = integrity(b"")


def unpack(directory: Path, content: bytes, room: Room | None = None, *, locked: str | None = None) -> Path:
    (directory / "alpha.tgz").write_bytes(content)
    entry = NpmEntry("", "alpha", "1.0.0", locked or integrity(content))
    unpack_npm(directory / "alpha.tgz", entry, directory / "inside/layer", room or Room(), PLATFORM)
    return directory / "inside/layer"


def test_files_come_out_with_their_content_and_no_right_but_to_run(tmp_path: Path) -> None:
    content = archive(
        [
            member("package", type=tarfile.DIRTYPE, mode=0o777),
            GOOD,
            member("./package/run", b"#!", mode=0o6777, uid=0, uname="root"),
            member(f"package/{'deep/' * 40}é ü.js", b"1"),
            member("package/lib/node_modules/inner.js", b"2"),
        ]
    )
    os.umask(umask := os.umask(0o077))
    layer = unpack(tmp_path, content)
    assert umask >= 0
    assert (layer / "run").stat().st_mode & 0o7777 == 0o755
    assert (layer / "package.json").stat().st_mode & 0o7777 == 0o644
    assert (layer / f"{'deep/' * 40}é ü.js").read_text() == "1"
    assert (layer / "lib/node_modules/inner.js").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alpha.tgz", "inside"]


def _sparse() -> bytes:
    info, _ = member("package/hole")
    info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.size": "9" * 12, "GNU.sparse.map": "0,0"}
    return archive([GOOD, (info, b"")])


def _large_header() -> bytes:
    info, content = member("package/x")
    info.pax_headers = {"comment": "x" * 3_000_000}
    return archive([GOOD, (info, content)])


def _negative() -> bytes:
    plain = bytearray(gzip.decompress(archive([member("package/x", b"")])))
    plain[124:136] = b"\xff" * 11 + b"\x00"
    plain[148:156] = f"{sum(plain[:148]) + 8 * 32 + sum(plain[156:512]):06o}\0 ".encode()
    return gzip.compress(bytes(plain))


LINK = tarfile.SYMTYPE
ATTACKS: dict[str, tuple[bytes, str]] = {
    "symbolic link": (archive([GOOD, member("package/x", type=LINK, linkname="/etc/passwd")]), "neither"),
    "link and a file through it": (
        archive([member("package/x", type=LINK, linkname="/tmp"), member("package/x/ran", b"1")]),
        "neither",
    ),
    "hard link": (
        archive([GOOD, member("package/x", type=tarfile.LNKTYPE, linkname="/etc/passwd")]),
        "neither",
    ),
    "device": (archive([GOOD, member("package/x", type=tarfile.CHRTYPE, devmajor=1)]), "neither"),
    "pipe": (archive([GOOD, member("package/x", type=tarfile.FIFOTYPE)]), "neither"),
    "sparse file": (_sparse(), "neither|cannot be unpacked"),
    "absolute path": (archive([GOOD, member("/package/x", b"1")]), "no path inside"),
    "climbing path": (archive([GOOD, member("package/../../ran", b"1")]), "no path inside"),
    "back slash": (archive([GOOD, member("package/..\\ran", b"1")]), "no path inside"),
    "control character": (archive([GOOD, member("package/a\nb", b"1")]), "no path inside"),
    "bad unicode": (archive([GOOD, member("package/a\udcff", b"1")]), "no path inside"),
    "long path": (archive([GOOD, member("package/" + "a/" * 600, b"1")]), "no path inside"),
    "two folders": (archive([GOOD, member("other/x", b"1")]), "outside its one folder"),
    "beside the folder": (
        archive([member("package.json", json.dumps(MANIFEST).encode())]),
        "outside its one",
    ),
    "its own node_modules": (archive([GOOD, member("package/node_modules/b/index.js", b"1")]), "of its own"),
    "the same file twice": (archive([GOOD, GOOD]), "FileExistsError"),
    "a file as a folder": (archive([GOOD, member("package/package.json/x", b"1")]), "cannot be unpacked"),
    "large header": (_large_header(), "header that is too large"),
    "negative size": (_negative(), "holds too much|cannot be unpacked"),
    "cut": (gzip.compress(gzip.decompress(package(MANIFEST))[:700]), "cannot be unpacked"),
    "cut in the compression": (package(MANIFEST)[:-20], "cannot be unpacked"),
    "no archive": (b"hello", "cannot be unpacked"),
    "compressed twice": (gzip.compress(package(MANIFEST)), "cannot be unpacked"),
    "no manifest": (archive([member("package/index.js", b"1")]), "no package.json"),
    "a manifest that is no JSON": (archive([member("package/package.json", b"{")]), "cannot be unpacked"),
    "a manifest that is a list": (archive([member("package/package.json", b"[]")]), "no object"),
    "another name": (package({**MANIFEST, "name": "beta"}), "another package"),
    "another version": (package({**MANIFEST, "version": "1.0.1"}), "another package"),
    "install script": (package({**MANIFEST, "scripts": {"install": "x"}}), "the script install"),
    "preinstall script": (package({**MANIFEST, "scripts": {"preinstall": "x"}}), "the script preinstall"),
    "another Node.js": (
        package({**MANIFEST, "engines": {"node": ">=20"}}),
        r"other than the registry.* needs Node\.js >=20",
    ),
    "another system": (package({**MANIFEST, "os": ["darwin"]}), "is not for linux-x64-glibc"),
    "another processor": (package({**MANIFEST, "cpu": "arm64"}), "is not for linux-x64-glibc"),
    "native code": (package(MANIFEST, {"binding.gyp": "{}"}), "binding.gyp"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_archive_that_attacks_is_refused(attack: str, tmp_path: Path) -> None:
    content, says = ATTACKS[attack]
    with pytest.raises(PackageNotInstallable, match=says):
        unpack(tmp_path, content)
    outside = {path.name for path in tmp_path.iterdir()}
    assert outside <= {"alpha.tgz", "inside"}
    assert not list(tmp_path.rglob("ran"))
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink()]


def test_an_archive_is_bounded_before_it_is_believed(tmp_path: Path) -> None:
    plain = io.BytesIO()
    with gzip.GzipFile(fileobj=plain, mode="wb", compresslevel=1) as bomb:
        for _ in range(40):
            bomb.write(bytes(1024 * 1024))
    for name, content, room, says in (
        ("bomb", plain.getvalue(), Room(files=10, bytes=20 * 1024**2), "holds too much"),
        ("large", package(MANIFEST, {"x": "1" * 4000}), Room(bytes=3000), "holds too much"),
        ("many", package(MANIFEST, dict.fromkeys("abcdef", "")), Room(files=4), "holds too much"),
        ("fetched", package(MANIFEST), Room(archive_bytes=10), "larger than 10 bytes"),
    ):
        place = tmp_path / name
        place.mkdir()
        with pytest.raises(PackageNotInstallable, match=says):
            unpack(place, content, room)
        assert not (place / "alpha.tar").exists()
    with pytest.raises(PackageNotInstallable, match="does not have the hash"):
        unpack(tmp_path, package(MANIFEST), locked=HASH)
    assert not (tmp_path / "inside").exists()


async def test_what_is_cancelled_while_it_unpacks_has_given_up_before_anybody_removes_it(
    tmp_path: Path,
) -> None:
    plain = io.BytesIO()
    with gzip.GzipFile(fileobj=plain, mode="wb", compresslevel=1) as bomb:
        for _ in range(200):
            bomb.write(bytes(1024 * 1024))
    (tmp_path / "alpha.tgz").write_bytes(content := plain.getvalue())
    entry, room = NpmEntry("", "alpha", "1.0.0", integrity(content)), Room(archive_bytes=len(content))
    begun, ended = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def work() -> None:
        loop.call_soon_threadsafe(begun.set)
        try:
            unpack_npm(tmp_path / "alpha.tgz", entry, tmp_path / "layer", room, PLATFORM)
        finally:
            ended.set()

    unpacking = asyncio.create_task(to_its_end(asyncio.to_thread(work), room.close))
    await begun.wait()
    unpacking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await unpacking
    assert ended.is_set()
    assert not await asyncio.to_thread((tmp_path / "alpha.tar").exists)


def lock(**packages: Mapping[str, Any]) -> str:
    own = {"version": "1.0.0", "integrity": HASH}
    entries = {"": {}, "node_modules/alpha": own}
    for place, more in packages.items():
        entries[place] = {**own, **more}
    return json.dumps({"lockfileVersion": 3, "packages": entries})


def places(text: str) -> dict[str, str]:
    return {one.place: f"{one.name}@{one.version}" for one in read_npm_lock(text, "alpha", PLATFORM)}


def test_everything_of_a_lock_lies_below_the_package_itself() -> None:
    found = places(
        lock(
            **{
                "node_modules/alpha/node_modules/@s/b": {"version": "2.0.0-rc.1+x"},
                "node_modules/alpha/node_modules/@s/b/node_modules/c": {},
                "node_modules/alpha/node_modules/other": {"name": "real"},
                "node_modules/peer": {"peer": True},
                "node_modules/peer/node_modules/c": {},
                "node_modules/alphabet": {},
                "node_modules/alpha/node_modules/mac": {"optional": True, "os": ["darwin"]},
                "node_modules/alpha/node_modules/mac/node_modules/d": {"optional": True},
                "node_modules/alpha/node_modules/native": {"optional": True, "hasInstallScript": True},
                "node_modules/alpha/node_modules/musl": {"optional": True, "libc": ["musl"]},
                "node_modules/alpha/node_modules/new": {"optional": True, "engines": {"node": ">=20"}},
                "node_modules/alpha/node_modules/here": {
                    "os": ["!win32"],
                    "cpu": ["any"],
                    "libc": "glibc",
                    "engines": {"node": "^18.20"},
                },
            }
        )
    )
    assert found == {
        "": "alpha@1.0.0",
        "node_modules/@s/b": "@s/b@2.0.0-rc.1+x",
        "node_modules/@s/b/node_modules/c": "c@1.0.0",
        "node_modules/other": "real@1.0.0",
        "node_modules/peer": "peer@1.0.0",
        "node_modules/peer/node_modules/c": "c@1.0.0",
        "node_modules/alphabet": "alphabet@1.0.0",
        "node_modules/here": "here@1.0.0",
    }
    both = {"node_modules/alpha/node_modules/peer": {}, "node_modules/peer": {}}
    assert places(lock(**both))["node_modules/peer"] == "peer@1.0.0"
    with pytest.raises(PackageNotInstallable, match="in two versions in one place"):
        places(lock(**{**both, "node_modules/peer": {"version": "2.0.0"}}))


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"resolved": "git+ssh://x/y"}, "an address or a directory"),
        ({"link": True}, "an address or a directory"),
        ({"inBundle": True}, "inside another package"),
        ({"integrity": None}, "no SHA-512"),
        ({"integrity": "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk="}, "no SHA-512"),
        ({"integrity": f"{HASH} {HASH}"}, "no SHA-512"),
        ({"version": "latest"}, "no version"),
        ({"version": None}, "no version"),
        ({"name": "--upload"}, "no name"),
        ({"name": "../x"}, "no name"),
        ({"name": ["x"]}, "no name"),
        ({"hasInstallScript": True}, "run a script"),
        ({"gypfile": True}, "run a script"),
        ({"os": ["darwin"]}, "not for linux-x64-glibc"),
        ({"cpu": ["!x64"]}, "not for linux-x64-glibc"),
        ({"libc": "musl"}, "not for linux-x64-glibc"),
        ({"engines": {"node": ">=20"}}, r"beta@1\.0\.0 needs Node.js >=20, and the sandbox has 18\.20\.4"),
        ({"engines": {"node": "soon"}}, "nobody can tell"),
    ],
)
def test_a_lock_with_anything_but_hashed_packages_of_the_registry_is_refused(
    entry: dict[str, Any], says: str
) -> None:
    with pytest.raises(PackageNotInstallable, match=says):
        places(lock(**{"node_modules/alpha/node_modules/beta": entry}))


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"packages": []}', '{"packages": {"node_modules/alpha": 1}}', "[" * 100_000),
        '{"packages": {"": {}}}',
        *(
            lock(**{place: {}})
            for place in ("../x", "node_modules/../x", "node_modules/a/x", "/node_modules/a")
        ),
        lock(**{f"node_modules/a{number}": {} for number in range(2001)}),
    ],
)
def test_a_lock_that_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(PackageNotInstallable):
        places(text)
