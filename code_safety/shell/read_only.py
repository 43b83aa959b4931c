"""The allowlist: programs that only read, and the options with which they do more than that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from code_safety.shell.looking import is_known, only_looks

_PLAIN: Final = frozenset(
    [
        "ls",
        "cat",
        "head",
        "tail",
        "wc",
        "grep",
        "egrep",
        "fgrep",
        "zgrep",
        "cut",
        "tr",
        "diff",
        "cmp",
        "comm",
        "stat",
        "du",
        "df",
        "pwd",
        "whoami",
        "id",
        "groups",
        "uname",
        "echo",
        "basename",
        "dirname",
        "realpath",
        "readlink",
        "which",
        "type",
        "whereis",
        "md5sum",
        "sha1sum",
        "sha224sum",
        "sha256sum",
        "sha384sum",
        "sha512sum",
        "b2sum",
        "cksum",
        "sum",
        "nl",
        "tac",
        "rev",
        "fold",
        "fmt",
        "column",
        "paste",
        "join",
        "seq",
        "true",
        "false",
        "[[",
        ":",
        "jq",
        "free",
        "uptime",
        "lscpu",
        "nproc",
        "arch",
        "od",
        "hexdump",
        "strings",
        "base64",
        "base32",
        "cal",
        "expr",
        "bc",
        "sleep",
        "cd",
        "read",
        "return",
        "exit",
        "shift",
        "getopts",
        "let",
        "local",
        "wait",
        "break",
        "continue",
        "zcat",
        "bzcat",
        "xzcat",
        "dir",
        "vdir",
        "look",
        "tsort",
        "numfmt",
        "factor",
        "locale",
        "getconf",
        "lsb_release",
        "tput",
        "clear",
        "pushd",
        "popd",
        "dirs",
        "help",
        "times",
        "dpkg-query",
        "tokei",
        "whatis",
        "apropos",
        "pgrep",
        "hexyl",
        "exa",
        "eza",
        "bat",
        "colordiff",
        "shasum",
        "md5",
        "size",
        "readelf",
        "objdump",
        "addr2line",
        "c++filt",
        "unexpand",
        "expand",
        "pr",
        "shuf",
        "sw_vers",
        "vm_stat",
        "iostat",
        "vmstat",
        "mpstat",
        "lsblk",
        "lspci",
        "lsusb",
        "lsmod",
        "declare",
        "typeset",
        "readonly",
        "hash",
        "jobs",
        "fg",
        "bg",
        "caller",
        "mapfile",
        "readarray",
    ]
)
_REFUSED_OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "sort": ("-o", "--output", "--compress-program", "-T", "--temporary-directory"),
    "uniq": (),
    "date": ("-s", "--set"),
    "hostname": ("-F", "-b", "--file", "--boot"),
    "tree": ("-o", "--output"),
    "rg": ("--pre", "--hostname-bin", "--search-zip"),
    "yq": ("-i", "--inplace", "--in-place"),
    "xxd": ("-r", "-revert"),
    "less": ("-o", "-O", "-k", "--log-file", "--LOG-FILE", "--lesskey-file", "--lesskey-src"),
    "man": ("-P", "--pager", "-H", "--html", "-C", "--config-file", "-M", "--manpath", "-m"),
    "info": ("-o", "--output", "--restore", "--dribble", "--init-file"),
    "printf": ("-v",),
    # Bash's own `test` works out what stands in a name's brackets: test -v 'a[$(id)]'.
    "test": ("-v", "-R"),
    "[": ("-v", "-R"),
    "cloc": ("--extract-with", "--config", "--report-file", "--out", "--script-lang", "--write-lang-def"),
    "pygmentize": ("-o", "-x", "-F", "-P"),
    "file": ("-C", "--compile", "-m", "--magic-file"),
    "nm": ("--plugin",),
    "ps": (),
    "apt-cache": ("-o", "--option", "-c", "--config-file"),
    "find": (
        "-delete",
        "-exec",
        "-execdir",
        "-ok",
        "-okdir",
        "-fprint",
        "-fprint0",
        "-fprintf",
        "-fls",
    ),
    "fd": ("-x", "--exec", "-X", "--exec-batch"),
    "awk": ("-i", "-f", "--file", "-e", "-E", "--exec", "-l", "--load"),
    "sed": ("-i", "--in-place", "-f", "--file"),
    "top": (),
    "bat": ("--pager", "--config-file"),
    "shuf": ("-o", "--output"),
    "column": (),
    "jq": ("-f", "--from-file", "-L"),
}
_SUBCOMMANDS: Final[Mapping[str, frozenset[str]]] = {
    "pip": frozenset({"list", "show", "freeze", "check", "index", "--version"}),
    "pip3": frozenset({"list", "show", "freeze", "check", "index", "--version"}),
    "yarn": frozenset({"list", "info", "why", "--version"}),
    "cargo": frozenset({"tree", "metadata", "--version", "search"}),
    "go": frozenset({"version", "env", "list", "doc"}),
    "podman": frozenset(
        {"ps", "images", "logs", "inspect", "version", "info", "stats", "top", "port", "history"}
    ),
    "systemctl": frozenset({"status", "list-units", "is-active", "is-enabled", "show", "cat", "list-timers"}),
    "brew": frozenset({"list", "info", "search", "outdated", "--version"}),
    "apt": frozenset({"list", "show", "search", "policy"}),
    "dpkg": frozenset({"-l", "-L", "-s", "-S", "--list", "--status"}),
    "rpm": frozenset({"-qa", "-q", "-qi", "-ql"}),
    "poetry": frozenset({"show", "check", "--version"}),
    "uv": frozenset({"--version", "tree", "version"}),
    "conda": frozenset({"list", "info", "search"}),
    "crontab": frozenset({"-l"}),
    "journalctl": frozenset({"-u", "-n", "--since", "-b", "-p", "--no-pager"}),
    "ip": frozenset({"addr", "a", "route"}),
    "rustup": frozenset({"show"}),
    "nvidia-smi": frozenset({"-L", "-q"}),
}
_REFUSED_AFTER: Final[Mapping[str, tuple[str, ...]]] = {
    "pip": (
        *("-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--log", "--proxy", "--python"),
        *("--report", "--config-settings", "--cert", "--client-cert", "--trusted-host"),
    ),
    "cargo": ("--config", "-Z", "-C", "--index", "--registry"),
    "go": (
        *("-w", "-u", "-toolexec", "-exec", "-vettool", "-modfile", "-overlay", "-export", "-compiled"),
        *("-test", "-C", "-pkgdir", "-mod"),
    ),
    "podman": ("--url", "--connection", "-c", "--identity", "--remote", "-r", "--hooks-dir", "--runtime"),
    "systemctl": ("-H", "--host", "-M", "--machine", "--root", "--image"),
    "apt": ("-o", "--option", "-c", "--config-file"),
    "journalctl": (
        *("--vacuum-size", "--vacuum-time", "--vacuum-files", "--rotate", "--sync", "--flush", "-D"),
        *(
            "--directory",
            "--root",
            "--setup-keys",
            "--update-catalog",
            "--relinquish-var",
            "--smart-relinquish-var",
        ),
    ),
}
_ONLY_NAMES_AFTER: Final = frozenset({"dpkg", "rpm", "crontab", "nvidia-smi", "rustup"})
"""Programs whose further arguments may be names and nothing else."""
_ANY_VERSION: Final = frozenset({"--version", "-V", "-version", "--help", "version"})


def is_read_only(program: str, arguments: Sequence[str]) -> bool:
    """Tell whether a program with these arguments is known to only read.

    Output redirection and what its paths name are for others to judge.
    """
    if len(arguments) == 1 and arguments[0] in _ANY_VERSION:
        return True
    if is_known(program):
        return only_looks(program, arguments)
    if (subcommands := _SUBCOMMANDS.get(program)) is not None:
        return bool(arguments) and arguments[0] in subcommands and _only_looks(program, arguments[1:])
    refused = _REFUSED_OPTIONS.get(program)
    if refused is None:
        return program in _PLAIN
    if any(_is_option(argument, option) for argument in arguments for option in refused):
        return False
    if program == "uniq":
        return sum(not argument.startswith("-") for argument in arguments) < 2
    if program == "xxd":
        return sum(not argument.lstrip("-").isdigit() and argument[:1] != "-" for argument in arguments) < 2
    if program == "date":
        return not any(argument[:8].isdigit() for argument in arguments)
    if program == "ps":
        return all(argument.startswith("-") or "e" not in argument for argument in arguments)
    if program == "hostname":
        return all(argument.startswith("-") for argument in arguments)
    if program == "awk":
        return not any(_awk_acts(argument) for argument in arguments)
    if program == "sed":
        return not any(map(_sed_acts, _sed_scripts(arguments)))
    if program == "less":
        return not any(argument.startswith("+") for argument in arguments)
    return True


def _only_looks(program: str, arguments: Sequence[str]) -> bool:
    if program == "ip":
        return not arguments or arguments[0] in {"show", "list", "ls", "get"}
    if program in _ONLY_NAMES_AFTER:
        return all(argument[:1] not in {"-", "%"} for argument in arguments)
    refused = _REFUSED_AFTER.get(program.rstrip("3"), ())
    if program == "go":
        arguments = [
            "-" + argument.lstrip("-").partition("=")[0] for argument in arguments if argument[:1] == "-"
        ]
    return not any(_is_option(argument, option) for argument in arguments for option in refused)


def _is_option(argument: str, option: str) -> bool:
    if option.startswith("--"):
        # Long options may be shortened: --outp is --output.
        name = argument.partition("=")[0]
        return argument.startswith("--") and len(name) > 3 and option.startswith(name)
    if len(option) > 2:
        return argument == option
    bundled = argument.startswith("-") and not argument.startswith("--") and option[1] in argument[1:]
    return argument == option or bundled


def _awk_acts(script: str) -> bool:
    return any(word in script for word in ("system", "|", ">", "getline", "@load", "@include", "ENVIRON"))


def _sed_scripts(arguments: Sequence[str]) -> list[str]:
    """Options and scripts; without `-e` the first operand is the script, and the others are files."""
    if any(argument.startswith(("-e", "--e")) for argument in arguments):
        return list(arguments)
    script = next((argument for argument in arguments if not argument.startswith("-")), "")
    return [*(argument for argument in arguments if argument.startswith("-")), script]


def _sed_acts(script: str) -> bool:
    """Sed scripts may run (``e``), write (``w``) and read (``r``) files; only plain edits are let through."""
    if script.startswith("-"):
        return script.startswith(("-s", "-z")) is False and script not in {
            "-n",
            "-E",
            "-r",
            "-e",
            "-u",
            "--quiet",
            "--regexp-extended",
        }
    if "\n" in script or ";" in script or "{" in script:
        return True
    if script.startswith("s") and len(script) > 2:
        flags = script.rsplit(script[1], 1)[-1]
        return not all(flag in "gpiI0123456789" for flag in flags)
    simple = script.rstrip("pdq=")
    return (
        any(letter in simple for letter in "ewrRWaic") and "/" not in simple[:1] and not _is_file_name(script)
    )


def _is_file_name(text: str) -> bool:
    return "." in text and " " not in text
