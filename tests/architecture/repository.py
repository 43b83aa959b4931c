"""Where this checkout's own files are, for the tests that read them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("hitl_contract", "server_kit", "code_safety", "hitl_mcp", "executor_mcp")
TEXT_SUFFIXES = {
    "",
    ".py",
    ".md",
    ".toml",
    ".yaml",
    ".yml",
    ".json",
    ".sh",
    ".html",
    ".css",
    ".js",
    ".txt",
    ".in",
}


def package_modules() -> list[Path]:
    """Every Python file of the five packages."""
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def tracked_text_files() -> list[Path]:
    """The text files under version control, and the new ones that are about to be."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    paths = [ROOT / name.decode() for name in listing.stdout.split(b"\0") if name]
    return [path for path in paths if path.suffix in TEXT_SUFFIXES and path.is_file()]


def copy_packages(destination: Path, *, without: tuple[str, ...] = ()) -> Path:
    """Copy the packages and the project file, so that a test may break its own copy."""
    for package in PACKAGES:
        if package not in without:
            shutil.copytree(
                ROOT / package, destination / package, ignore=shutil.ignore_patterns("__pycache__")
            )
    shutil.copy(ROOT / "pyproject.toml", destination)
    return destination
