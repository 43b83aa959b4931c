"""What single programs do with which arguments. Each rule looks at one family of programs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from code_safety.findings import Place, Rule, Severity
from code_safety.inspection import Inspection
from code_safety.paths import is_disk_device, is_wide, judge_read, judge_write
from code_safety.secret_patterns import find_secret
from code_safety.shell.words import UNKNOWN

_LOW, _MEDIUM, _HIGH, _CRITICAL = Severity
CommandRule = Callable[[str, Sequence[str], Inspection, Place], None]


def operands(arguments: Sequence[str]) -> list[str]:
    """The arguments that are no options."""
    found: list[str] = []
    for position, argument in enumerate(arguments):
        if argument == "--":
            return [*found, *arguments[position + 1 :]]
        if not argument.startswith("-") or argument == "-":
            found.append(argument)
    return found


def has_option(arguments: Sequence[str], letters: str, *long: str) -> bool:
    """Tell whether one of the short options (also bundled, as in ``-rf``) or long ones is given."""
    for argument in arguments:
        if argument == "--":
            return False
        if argument.startswith("--"):
            if argument.partition("=")[0] in long:
                return True
        elif argument.startswith("-") and any(letter in argument[1:] for letter in letters):
            return True
    return False


def _delete(program: str, arguments: Sequence[str], inspection: Inspection, place: Place) -> None:
    recursive = has_option(arguments, "rR", "--recursive") or program in {"shred", "srm", "wipe"}
    targets = operands(arguments)
    inspection.add(Rule.COMMAND_DELETES_FILES, place)
    for target in targets:
        known = target.replace(UNKNOWN, "")
        if recursive and not known and target:
            inspection.add(Rule.COMMAND_DELETES_FILES, place, _HIGH, "a path that is not known beforehand")
        elif (recursive and is_wide(known)) or (known.rstrip("*") in {"/", "~/", "~", "$HOME/"} and known):
            inspection.add(Rule.COMMAND_DELETES_WIDELY, place)
        elif recursive and known != target and known.startswith("/"):
            inspection.add(Rule.COMMAND_DELETES_WIDELY, place, _HIGH, "parts of the path are not known")
        elif (verdict := judge_write(known)) is not None:
            inspection.add(Rule.COMMAND_DELETES_FILES, place, _HIGH)
            inspection.add(verdict.rule, place, verdict.severity)
        elif recursive and known in {".", "./", "*", "./*", ".*"}:
            inspection.add(Rule.COMMAND_DELETES_FILES, place, _HIGH, "the whole work folder")
        elif recursive and ".git" in known.split("/"):
            inspection.add(Rule.COMMAND_LOSES_WORK, place)
    if has_option(arguments, "", "--no-preserve-root"):
        inspection.add(Rule.COMMAND_DELETES_WIDELY, place)


def _copy(program: str, arguments: Sequence[str], inspection: Inspection, place: Place) -> None:
    inspection.add(Rule.COMMAND_WRITES_FILES, place)
    targets = operands(arguments)
    for target in targets[-1:] if program != "mv" else targets:
        _written(target, inspection, place)
    for source in targets[:-1]:
        _read(source, inspection, place)


def _write(program: str, arguments: Sequence[str], inspection: Inspection, place: Place) -> None:
    inspection.add(Rule.COMMAND_WRITES_FILES, place)
    for target in operands(arguments):
        _written(target, inspection, place)
    if program == "truncate" and has_option(arguments, "s", "--size"):
        inspection.add(Rule.COMMAND_DELETES_FILES, place)


def _written(path: str, inspection: Inspection, place: Place) -> None:
    path = path.replace(UNKNOWN, "")
    if is_disk_device(path):
        inspection.add(Rule.BASH_WRITES_DEVICE, place)
    elif (verdict := judge_write(path)) is not None:
        inspection.add(verdict.rule, place, verdict.severity)


def _read(path: str, inspection: Inspection, place: Place) -> None:
    if (verdict := judge_read(path.replace(UNKNOWN, ""))) is not None:
        inspection.add(verdict.rule, place, verdict.severity)


def _disk(program: str, arguments: Sequence[str], inspection: Inspection, place: Place) -> None:
    if program != "dd":
        inspection.add(Rule.COMMAND_DESTROYS_DISK, place)
        return
    for argument in arguments:
        name, _, path = argument.partition("=")
        if name == "of" and is_disk_device(path):
            inspection.add(Rule.COMMAND_DESTROYS_DISK, place)
        elif name == "of":
            inspection.add(Rule.COMMAND_WRITES_FILES, place)
            _written(path, inspection, place)
        elif name == "if":
            _read(path, inspection, place)


def _permissions(program: str, arguments: Sequence[str], inspection: Inspection, place: Place) -> None:
    targets = operands(arguments)
    mode = targets[0] if targets else ""
    if program == "chmod" and (re.search(r"[ugoa]*[+=][rwxX]*s", mode) or re.fullmatch(r"[2467]\d{3}", mode)):
        inspection.add(Rule.COMMAND_RAISES_PRIVILEGES, place, detail="programs that run as their owner")
    elif (
        program in {"setcap", "setfacl", "chattr"}
        or re.fullmatch(r"0?[0-7]?[0-7][2367]", mode)
        or re.search(r"[oa]\+\w*w", mode)
    ):
        inspection.add(Rule.COMMAND_CHANGES_PERMISSIONS, place, _HIGH)
    else:
        inspection.add(Rule.COMMAND_CHANGES_PERMISSIONS, place)
    for target in targets[1:]:
        _written(target, inspection, place)


def _network(program: str, arguments: Sequence[str], inspection: Inspection, place: Place) -> None:
    joined = " ".join(arguments)
    inspection.add(Rule.COMMAND_OPENS_NETWORK, place)
    if program in {"curl", "wget", "http", "https", "xh"}:
        methods = r"(?:^|\s)(?:-X\s?|--request[= ]|--method[= ])[\"']?(?:POST|PUT|PATCH|DELETE)\b"
        bodies = (
            r"(?:^|\s)(?:-d|--data\S*|-F|--form\S*|-T|--upload-file|--json|--post-\w+|--body-\w+)"
            r"(?:[= ]|(?=[^\s-]))"
        )
        if re.search(bodies, joined) or re.search(methods, joined):
            inspection.add(
                Rule.COMMAND_UPLOADS,
                place,
                _CRITICAL if re.search(r"[@<]\S", joined) and judge_read(joined) else _HIGH,
            )
        if re.search(r"(?:^|\s)(?:-o|-O|--output|-P|--remote-name)\b", joined) or program == "wget":
            inspection.add(Rule.COMMAND_WRITES_FILES, place)
            for position, argument in enumerate(arguments[:-1]):
                if argument in {"-o", "-O", "--output", "-P"}:
                    _written(arguments[position + 1], inspection, place)
        if re.search(r"(?:^|\s)(?:-k|--insecure|--no-check-certificate)\b", joined):
            inspection.add(Rule.HTTP_UNENCRYPTED, place, _MEDIUM, "the other side is not checked")
        if "file://" in joined:
            _read(joined[joined.index("file://") :].split()[0], inspection, place)
    elif program in {"nc", "ncat", "netcat", "socat", "telnet"}:
        if re.search(r"(?i)(?:^|\s)-\w*[ec]\b|exec:|system:|--exec|--sh-exec", joined):
            inspection.add(Rule.COMMAND_REVERSE_SHELL, place)
        else:
            inspection.add(Rule.COMMAND_UPLOADS, place)
    elif program in {"scp", "rsync", "sftp", "ftp", "rclone", "s3cmd", "gsutil"}:
        to_other = any(
            re.match(r"^[\w.@-]+:|^s3://|^gs://|^rsync://", each) for each in operands(arguments)[-1:]
        )
        inspection.add(Rule.COMMAND_UPLOADS if to_other else Rule.COMMAND_WRITES_FILES, place)
        if has_option(arguments, "", "--delete", "--delete-after", "--remove-source-files"):
            inspection.add(Rule.COMMAND_DELETES_FILES, place, _HIGH)
    elif program in {"ssh", "mosh", "autossh"}:
        inspection.add(Rule.COMMAND_OPENS_NETWORK, place, _HIGH, "commands on another machine")
        words = operands(arguments)
        if len(words) > 1:
            inspection.embedded("bash", " ".join(words[1:]), place)
        if re.search(r"(?:^|\s)-\w*[RLD]|ProxyCommand|LocalCommand", joined):
            inspection.add(Rule.COMMAND_REVERSE_SHELL, place, _HIGH)
    for argument in arguments:
        if judge_read(argument.lstrip("@")) is not None and "://" not in argument:
            _read(argument.lstrip("@"), inspection, place)
    if find_secret(joined) is not None or re.search(r"(?i)authorization:|(?:^|\s)(?:-u|--user)\s", joined):
        inspection.add(Rule.HTTP_CREDENTIALS, place)


def _fixed(rule: Rule, severity: Severity | None = None, detail: str = "") -> CommandRule:
    def apply(_program: str, arguments: Sequence[str], inspection: Inspection, place: Place) -> None:
        inspection.add(rule, place, severity, detail)
        for argument in arguments:
            if judge_read(argument) is not None:
                _read(argument, inspection, place)

    return apply


def _archive(program: str, arguments: Sequence[str], inspection: Inspection, place: Place) -> None:
    joined = " ".join(arguments)
    if program in {"tar", "bsdtar"} and re.search(
        r"--checkpoint-action|--to-command|--use-compress-program|-I\b|--rsh-command", joined
    ):
        inspection.add(Rule.BASH_RUNS_TEXT_AS_CODE, place)
    if program in {"zip", "7z"} and re.search(r"-TT|--unzip-command", joined):
        inspection.add(Rule.BASH_RUNS_TEXT_AS_CODE, place)
    lists = bool(arguments) and (
        re.match(r"^-?[a-z]*t", arguments[0]) if program.endswith("tar") else "-l" in arguments
    )
    if not lists:
        inspection.add(Rule.COMMAND_WRITES_FILES, place)
    if has_option(arguments, "P", "--absolute-names", "--remove-files"):
        inspection.add(Rule.PATH_OUTSIDE, place)
    for argument in operands(arguments):
        _read(argument, inspection, place)


def _installs(program: str, arguments: Sequence[str], inspection: Inspection, place: Place) -> None:
    words = operands(arguments)
    action = words[0] if words else ""
    if action in {"publish", "upload", "login", "adduser", "deploy", "release", "yank", "unpublish", "push"}:
        inspection.add(Rule.COMMAND_PUBLISHES, place)
    elif action in {"uninstall", "remove", "purge", "autoremove", "clean", "prune"}:
        inspection.add(Rule.COMMAND_DELETES_FILES, place)
    elif action in {
        "test",
        "run",
        "start",
        "exec",
        "build",
        "check",
        "lint",
        "ci",
        "x",
        "dlx",
        "clippy",
        "fmt",
        "vet",
        "bench",
    }:
        inspection.add(Rule.COMMAND_RUNS_CODE, place, detail="the project's own code")
        if action in {"exec", "x", "dlx"}:
            inspection.add(Rule.COMMAND_INSTALLS, place)
    else:
        joined = " ".join(arguments)
        foreign = re.search(
            r"https?://|git\+|--(?:extra-)?index-url|--registry|\.whl\b|--trusted-host|file:", joined
        )
        inspection.add(Rule.COMMAND_INSTALLS, place, _HIGH if foreign else None)
    if program in {"apt", "apt-get", "yum", "dnf", "apk", "pacman", "zypper", "dpkg", "rpm", "snap"}:
        inspection.add(Rule.COMMAND_CHANGES_SYSTEM, place)


def _cloud(_program: str, arguments: Sequence[str], inspection: Inspection, place: Place) -> None:
    joined = " ".join(arguments)
    destroys = re.search(
        r"\b(?:delete\S*|destroy|rm|rmi|rb|prune|terminate\S*|purge|drain|remove|uninstall|force-new-deployment|down|deregister\S*)\b",
        joined,
    )
    reads = re.match(
        r"^(?:\S+ ){0,2}(?:ls|list\S*|describe\S*|get(?!-secret|-password|-session|-login)\S*"
        r"|show|head-\S+|plan|status|view|diff)\b",
        joined,
    )
    if re.search(
        r"secret|password|token|credentials|get-session|assume-role|print-access|ssm get-param|kms decrypt",
        joined,
    ):
        inspection.add(Rule.PATH_CREDENTIALS, place)
    escapes = re.search(
        r"--privileged|-v\s*/:|--volume[= ]/:|--pid[= ]host|--net(?:work)?[= ]host|docker\.sock"
        r"|--cap-add|type=bind,\S*source=/,",
        joined,
    )
    if escapes:
        inspection.add(Rule.COMMAND_RAISES_PRIVILEGES, place, _CRITICAL, "reaches out of its container")
    if destroys:
        inspection.add(Rule.COMMAND_CHANGES_INFRASTRUCTURE, place, _CRITICAL, "deletes")
    elif reads:
        inspection.add(Rule.COMMAND_OPENS_NETWORK, place, _MEDIUM)
    else:
        inspection.add(Rule.COMMAND_CHANGES_INFRASTRUCTURE, place)


def _stops(program: str, arguments: Sequence[str], inspection: Inspection, place: Place) -> None:
    everything = not {"-1", "1", "0"}.isdisjoint([*operands(arguments), *arguments[-1:]])
    inspection.add(
        Rule.COMMAND_STOPS_PROCESSES, place, _CRITICAL if everything and program == "kill" else None
    )


_SED_RUNS: Final = re.compile(r"(?:^|[;{/|#,])\s*[\d$,!]*\s*e(?:\s|$)|/[gpiI\d]*e[gpiI\d]*\s*(?:;|$)")


def _edits(program: str, arguments: Sequence[str], inspection: Inspection, place: Place) -> None:
    """sed, awk, find, sort and their like once they do more than read."""
    joined = " ".join(arguments)
    if program == "find":
        start = next((argument for argument in arguments if not argument.startswith("-")), ".")
        if "-delete" in arguments:
            _delete("rm", ["-r", start], inspection, place)
        for position, argument in enumerate(arguments):
            if argument in {"-exec", "-execdir", "-ok", "-okdir"}:
                inner: list[str] = []
                for word in arguments[position + 1 :]:
                    if word in {";", "+", "\\;"}:
                        break
                    inner.append(start if word == "{}" else word)
                inspection.embedded("command", UNIT.join(inner), place)
            elif argument in {"-fprint", "-fprint0", "-fprintf", "-fls"}:
                inspection.add(Rule.COMMAND_WRITES_FILES, place)
                _written("".join(arguments[position + 1 : position + 2]), inspection, place)
        return
    if program == "awk":
        runs = re.search(r"system\s*\(|\|\s*getline|\|\s*\"|\"\s*\|&?\s*\"|getline\s*<|/inet/|\|\s*&", joined)
        inspection.add(Rule.BASH_RUNS_TEXT_AS_CODE if runs else Rule.COMMAND_WRITES_FILES, place)
        return
    if program == "sed" and any(_SED_RUNS.search(argument) for argument in arguments):
        inspection.add(Rule.BASH_RUNS_TEXT_AS_CODE, place)
    if program in {"sort", "rg", "fd", "less"} and re.search(
        r"--compress-program|--pre\b|--exec|\s-[xX]\s|--pager", f" {joined} "
    ):
        inspection.add(Rule.BASH_RUNS_TEXT_AS_CODE, place)
    inspection.add(Rule.COMMAND_WRITES_FILES, place)
    for argument in operands(arguments):
        _written(argument, inspection, place)


UNIT: Final = "\x1f"
"""Joins the words of a command that is handed on as one text; no word of a program's text needs it."""


def _families(rule: CommandRule, names: str) -> dict[str, CommandRule]:
    return dict.fromkeys(names.split(), rule)


COMMAND_RULES: Final[Mapping[str, CommandRule]] = {
    **_families(_delete, "rm rmdir unlink shred srm wipe trash"),
    **_families(_copy, "cp mv install ln link"),
    **_families(
        _write,
        """touch mkdir tee truncate split csplit patch mkfifo mknod mktemp fallocate iconv gofmt
            prettier black""",
    ),
    **_families(
        _disk,
        """dd mkfs mke2fs mkswap wipefs fdisk sfdisk parted sgdisk blkdiscard hdparm cryptsetup
            lvremove vgremove zpool format diskutil""",
    ),
    **_families(_permissions, "chmod chown chgrp setfacl setcap chattr"),
    **_families(
        _network,
        """curl wget http https xh nc ncat netcat socat telnet scp rsync sftp ftp rclone s3cmd
            gsutil ssh mosh autossh lynx aria2c nmap""",
    ),
    **_families(
        _fixed(Rule.COMMAND_OPENS_NETWORK),
        "ping dig nslookup host traceroute whois tcpdump tshark links w3m ngrok cloudflared",
    ),
    **_families(
        _fixed(Rule.COMMAND_CHANGES_SYSTEM),
        """useradd usermod userdel adduser deluser groupadd groupdel passwd chpasswd visudo vipw iptables
        ip6tables nft ufw ip ifconfig
        route sysctl modprobe insmod rmmod mount umount swapoff swapon service systemctl shutdown reboot
        halt poweroff init telinit
        hostnamectl timedatectl localectl loginctl update-rc.d chkconfig setenforce apparmor_parser
        launchctl defaults hostname date
        ldconfig update-alternatives depmod kexec losetup netplan nmcli resolvectl firewall-cmd auditctl
        scutil dscl csrutil""",
    ),
    **_families(_fixed(Rule.COMMAND_STARTS_LATER), "crontab at batch atd anacron"),
    **_families(_stops, "kill killall pkill xkill skill fuser"),
    **_families(
        _installs,
        """pip pip3 pipx npm yarn pnpm npx bunx bun apt apt-get yum dnf apk pacman zypper dpkg rpm
            snap brew gem cargo go poetry uv uvx conda mamba twine easy_install composer bundle
            rustup mvn gradle dotnet nuget""",
    ),
    **_families(
        _fixed(Rule.COMMAND_RUNS_CODE, None, "the project's own code"),
        """make cmake ninja pytest tox nox jest vitest mocha tsc eslint ruff mypy pyright gcc g++
            cc clang rustc javac java ctest bazel just rake meson node-gyp""",
    ),
    **_families(
        _cloud,
        """aws gcloud az kubectl helm terraform tofu pulumi docker podman docker-compose doctl heroku
        flyctl fly vercel netlify gh glab
        ansible ansible-playbook vault oc eksctl serverless sls wrangler firebase consul nomad op
        doppler linode-cli oci ibmcloud crictl
        ctr nerdctl minikube kind packer vagrant virsh lxc""",
    ),
    **_families(_archive, "tar bsdtar zip unzip 7z gzip gunzip bzip2 xz zstd unxz cpio ar rar unrar"),
    **_families(_edits, "sed awk find sort uniq date tree rg fd yq xxd less shuf perltidy ed ex jq"),
    **_families(_fixed(Rule.COMMAND_READS_ENVIRONMENT), "printenv"),
    **_families(_fixed(Rule.COMMAND_RAISES_PRIVILEGES), "su newgrp sg visudo gpasswd capsh pkexec"),
    **_families(
        _fixed(Rule.PATH_CREDENTIALS),
        "security ssh-keygen ssh-add ssh-agent gpg gpg2 pass keyctl secret-tool openssl keytool certutil",
    ),
    **_families(_fixed(Rule.COMMAND_COVERS_TRACKS), "history fc logrotate wevtutil"),
    **_families(
        _fixed(Rule.BASH_RUNS_TEXT_AS_CODE),
        """expect gdb lldb vim vi nvim emacs nano screen tmux m4 dc tclsh wish osascript socksify
            crash gnuplot byebug irb""",
    ),
    **_families(
        _fixed(Rule.MINES_COINS), "xmrig minerd cgminer ethminer cpuminer t-rex nbminer phoenixminer"
    ),
    **_families(_fixed(Rule.COMMAND_UPLOADS), "mail mailx sendmail mutt msmtp swaks"),
}
