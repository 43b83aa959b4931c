"""Modules of CPython's test suite that pass outside of a sandbox and not inside, and why.

The words of the reasons are those of `docs/sandboxes.md`: nothing can be written beside the standard library,
nothing that was written can be executed, limits cannot be raised, and some calls are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

Backend = Literal["bubblewrap", "docker"]

_LIBRARY: Final = "writes or deletes files beside the standard library, which is read-only"
_LINK: Final = "reads sitecustomize.py, a link into the host's /etc, which is not there"
_NAMELESS: Final = "asks for the name of its user, which in docker is a number of its own without a name"
_PACKAGE: Final = "imports distutils, which is in a package of Debian's that the image does not have"
_EXECUTED: Final = (
    "makes scripts, programs or libraries and runs them: nothing that was written can be executed"
)

_IN_ALL: Final[dict[str, str]] = {
    "test_bdb": _LIBRARY,
    "test_doctest": _LIBRARY,
    "test_httpservers": _EXECUTED,
    "test_import": _LIBRARY,
    "test_importlib": _LIBRARY,
    "test_io": "makes a file of two gigabytes: the size of files is bounded",
    "test_mmap": "maps a file to execute it: nothing that was written can be executed",
    "test_os": "makes a file in memory, changes its user to the one it has and its priority: refused",
    "test_pickle": _LIBRARY,
    "test_posix": "starts a program by its descriptor and makes a socket of another kind: refused",
    "test_resource": "raises limits, or asks for those of another process: refused",
    "test_runpy": _LIBRARY,
    "test_shutil": _EXECUTED,
    "test_socket": "UDP-Lite, SCTP, AF_ALG, AF_VSOCK and the like are refused",
    "test_subprocess": _EXECUTED,
    "test_support": _LIBRARY,
    "test_trace": _LIBRARY,
}

_IN_ONE: Final[Mapping[Backend, Mapping[str, str]]] = {
    "bubblewrap": {
        "test___all__": _LINK,
        "test_ast": _LINK,
        "test_cppext": _EXECUTED,
        "test_distutils": _EXECUTED,
        "test_spwd": "reads /etc/shadow, which is not there",
    },
    "docker": {
        "test_cppext": "asks ensurepip for an environment, and a compiler: the image has neither",
        "test_ctypes": "asks a compiler and a linker for libraries: the image has neither",
        "test_distutils": _PACKAGE,
        "test_pathlib": _NAMELESS,
        "test_posixpath": _NAMELESS,
        "test_sundry": _PACKAGE,
        "test_sysconfig": "looks for Python's headers, a package of Debian's that the image does not have",
        "test_venv": "imports ensurepip, which is in a package of Debian's that the image does not have",
    },
}


def reasons(backend: Backend) -> dict[str, str]:
    """Why modules differ in this backend, by module."""
    return {**_IN_ALL, **_IN_ONE[backend]}
