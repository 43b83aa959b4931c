"""Which functions and modules of JavaScript (Node.js) matter, by dotted name. Facts, no code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from code_safety.findings import Rule, Severity

_LOW, _MEDIUM, _HIGH, _CRITICAL = Severity
Entry = tuple[Rule, Severity]


def _all(rule: Rule, severity: Severity, names: str) -> dict[str, Entry]:
    return dict.fromkeys(names.split(), (rule, severity))


TEXT_AS_CODE: Final = frozenset(
    [
        "eval",
        "Function",
        "AsyncFunction",
        "GeneratorFunction",
        "vm.runInThisContext",
        "vm.runInNewContext",
        "vm.runInContext",
        "vm.Script",
        "vm.compileFunction",
        "vm.SourceTextModule",
        "execScript",
        "module._compile",
        "module.prototype._compile",
        "worker_threads.Worker",
        "WebAssembly.compile",
        "WebAssembly.instantiate",
        "WebAssembly.Module",
    ]
)
SHELL_CALLS: Final = frozenset({"child_process.exec", "child_process.execSync"})
ARGV_CALLS: Final = frozenset(
    {
        "child_process.spawn",
        "child_process.spawnSync",
        "child_process.execFile",
        "child_process.execFileSync",
        "child_process.fork",
        "child_process._forkChild",
    }
)
TIMERS: Final = frozenset({"setTimeout", "setInterval", "setImmediate"})

DELETING: Final = re.compile(
    r"^(?:fs\.(?:l?rm|rmdir|unlink|truncate|ftruncate|remove|emptyDir)(?:Sync)?|rimraf(?:\.\w+)?|del|trash)$"
)
WRITING: Final = re.compile(
    r"^fs\.(?:writeFile|appendFile|write|writev|createWriteStream|rename|copyFile|cp|copy|move|symlink|link|mkdir|mkdtemp|open|openAsBlob"
    r"|chmod|fchmod|lchmod|chown|fchown|lchown|utimes|outputFile|outputJson|writeJson|ensureFile)(?:Sync)?$"
)
READING: Final = re.compile(
    r"^fs\.(?:readFile|createReadStream|readdir|opendir|readlink|readJson|access|exists|stat)(?:Sync)?$"
)

NAMED: Final[Mapping[str, Entry]] = {
    **_all(Rule.JAVASCRIPT_RUNS_TEXT_AS_CODE, _HIGH, " ".join(TEXT_AS_CODE)),
    **_all(
        Rule.JAVASCRIPT_OPENS_NETWORK,
        _MEDIUM,
        "fetch WebSocket XMLHttpRequest EventSource navigator.sendBeacon WebTransport",
    ),
    **_all(
        Rule.JAVASCRIPT_CALLS_NATIVE_CODE,
        _HIGH,
        "process.dlopen process.binding process._linkedBinding bindings",
    ),
    **_all(
        Rule.JAVASCRIPT_HOOKS_INTERPRETER,
        _HIGH,
        """process.mainModule process.setuid process.setgid process.kill require.cache require.extensions
        module._load module.createRequire module.registerHooks module.register module._extensions
        module._resolveFilename
        inspector.open inspector.Session v8.setFlagsFromString process.execve process.abort
        process.setegid process.seteuid""",
    ),
    **_all(Rule.JAVASCRIPT_CHANGES_PROTOTYPES, _MEDIUM, "Object.setPrototypeOf Reflect.setPrototypeOf"),
    **_all(Rule.JAVASCRIPT_OPENS_NETWORK, _HIGH, "Deno.connect Bun.connect Bun.serve Deno.listen"),
    **_all(Rule.JAVASCRIPT_STARTS_PROCESSES, _HIGH, "Deno.run Deno.Command Bun.spawn Bun.$ process.spawn"),
}

_NETWORK: Final = """net http https tls dgram dns dns/promises http2
axios node-fetch got ws undici request superagent nodemailer
ssh2 socket.io-client mongodb pg mysql mysql2 redis ioredis amqplib kafkajs needle puppeteer playwright
express fastify koa aws-sdk
@aws-sdk/client-s3 @slack/web-api discord.js telegraf ftp basic-ftp quic cross-fetch isomorphic-fetch ky
phin bent"""

MODULES: Final[Mapping[str, Entry]] = {
    **_all(
        Rule.JAVASCRIPT_STARTS_PROCESSES,
        _MEDIUM,
        "child_process execa shelljs zx cross-spawn node-pty pm2 sudo-prompt",
    ),
    **_all(Rule.JAVASCRIPT_STARTS_PROCESSES, _LOW, "worker_threads cluster"),
    **_all(Rule.JAVASCRIPT_OPENS_NETWORK, _MEDIUM, _NETWORK),
    **_all(
        Rule.JAVASCRIPT_RUNS_TEXT_AS_CODE, _MEDIUM, "vm vm2 isolated-vm repl safe-eval static-eval node-eval"
    ),
    **_all(
        Rule.JAVASCRIPT_HOOKS_INTERPRETER,
        _MEDIUM,
        "inspector v8 module async_hooks trace_events process/binding pirates",
    ),
    **_all(
        Rule.JAVASCRIPT_CALLS_NATIVE_CODE,
        _HIGH,
        "ffi-napi ref-napi koffi node-gyp-build bindings node-addon-api ffi",
    ),
    **_all(Rule.JAVASCRIPT_DELETES_FILES, _LOW, "rimraf del trash"),
    **_all(Rule.PATH_CREDENTIALS, _HIGH, "keytar node-keytar"),
}

_SAME_MODULE: Final = {
    "fs/promises": "fs",
    "fs-extra": "fs",
    "graceful-fs": "fs",
    "original-fs": "fs",
    "module": "module",
    "Module": "module",
}


def module_name(specifier: str) -> str:
    """The name under which a module stands in the tables."""
    name = specifier.removeprefix("node:")
    return _SAME_MODULE.get(name, name)


GLOBAL_OBJECTS: Final = frozenset(
    {"global", "globalThis", "window", "self", "root", "GLOBAL", "top", "frames"}
)
SENSITIVE_OWNERS: Final = frozenset(
    {"process", "child_process", "fs", "require", "module", "vm", "Reflect", "net", *GLOBAL_OBJECTS}
)
HARMLESS_VARIABLES: Final = frozenset(
    [
        "NODE_ENV",
        "HOME",
        "PATH",
        "PORT",
        "DEBUG",
        "CI",
        "TZ",
        "LANG",
        "USER",
        "PWD",
        "LOG_LEVEL",
        "TMPDIR",
        "NO_COLOR",
        "TERM",
        "SHELL",
        "HOSTNAME",
    ]
)
