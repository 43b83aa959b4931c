"""Which functions and modules of Python matter, by dotted name. Facts, no code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from code_safety.findings import Rule, Severity

_LOW, _MEDIUM, _HIGH, _CRITICAL = Severity
Entry = tuple[Rule, Severity]


def _all(rule: Rule, severity: Severity, names: str, prefix: str = "") -> dict[str, Entry]:
    return {f"{prefix}{name}": (rule, severity) for name in names.split()}


TEXT_AS_CODE: Final = frozenset(
    [
        "eval",
        "exec",
        "compile",
        "code.interact",
        "code.InteractiveInterpreter",
        "code.InteractiveConsole",
        "code.compile_command",
        "codeop.compile_command",
        "codeop.Compile",
        "runpy.run_path",
        "runpy.run_module",
        "types.FunctionType",
        "types.CodeType",
        "types.LambdaType",
        "execfile",
        "timeit.timeit",
        "timeit.repeat",
        "timeit.Timer",
        "cProfile.run",
        "cProfile.runctx",
        "profile.run",
        "profile.runctx",
        "pdb.run",
        "pdb.runeval",
        "trace.Trace().run",
        "bdb.Bdb().run",
        "test.support.run_code",
        "doctest.run_docstring_examples",
        "concurrent.interpreters.create",
        "_xxsubinterpreters.run_string",
        "pandas.eval",
        "numexpr.evaluate",
        "IPython.embed",
        "breakpoint",
        "numpy.f2py.compile",
        "cffi.FFI().verify",
    ]
)

SHELL_CALLS: Final = frozenset(
    [
        "os.system",
        "os.popen",
        "subprocess.getoutput",
        "subprocess.getstatusoutput",
        "commands.getoutput",
        "popen2.popen2",
        "asyncio.create_subprocess_shell",
        "pty.spawn",
        "platform.popen",
    ]
)
PROCESS_CALLS: Final = frozenset(
    [
        "subprocess.run",
        "subprocess.call",
        "subprocess.check_call",
        "subprocess.check_output",
        "subprocess.Popen",
        "asyncio.create_subprocess_exec",
        "subprocess.fork_exec",
    ]
)

NAMED: Final[Mapping[str, Entry]] = {
    **_all(Rule.PYTHON_RUNS_TEXT_AS_CODE, _HIGH, " ".join(TEXT_AS_CODE)),
    **_all(Rule.PYTHON_STARTS_PROCESSES, _MEDIUM, " ".join(SHELL_CALLS | PROCESS_CALLS)),
    **_all(
        Rule.PYTHON_STARTS_PROCESSES,
        _HIGH,
        """fork forkpty execv execve execl execle execlp execlpe execvp execvpe posix_spawn posix_spawnp
        spawnl spawnle
        spawnlp spawnlpe spawnv spawnve spawnvp spawnvpe startfile""",
        "os.",
    ),
    **_all(
        Rule.PYTHON_STARTS_PROCESSES,
        _HIGH,
        "kill killpg setuid setgid setsid chroot unshare ptrace setns",
        "os.",
    ),
    **_all(
        Rule.PYTHON_STARTS_PROCESSES,
        _MEDIUM,
        "webbrowser.open webbrowser.open_new pexpect.spawn pexpect.run sh.Command",
    ),
    **_all(
        Rule.PYTHON_HOOKS_INTERPRETER,
        _HIGH,
        """sys.settrace sys.setprofile sys.addaudithook sys._getframe sys._current_frames threading.settrace
        threading.setprofile gc.get_objects gc.get_referrers gc.get_referents inspect.currentframe
        inspect.stack
        sys.meta_path sys.path_hooks sys.path_importer_cache sys.set_asyncgen_hooks sys.monitoring
        sys.excepthook
        sys.displayhook sys.breakpointhook sys._setprofileallthreads bdb.Bdb""",
    ),
    **_all(Rule.PYTHON_HOOKS_INTERPRETER, _LOW, "atexit.register signal.signal inspect.getframeinfo"),
    **_all(
        Rule.PYTHON_HOOKS_INTERPRETER,
        _MEDIUM,
        "sys.path.insert sys.path.append sys.path.extend site.addsitedir",
    ),
    **_all(
        Rule.PYTHON_HOOKS_INTERPRETER,
        _MEDIUM,
        "sys.setrecursionlimit resource.setrlimit sys.setswitchinterval",
    ),
    **_all(
        Rule.PYTHON_IMPORTS_COMPUTED_MODULE,
        _MEDIUM,
        """importlib.util.spec_from_file_location importlib.util.module_from_spec
        importlib.machinery.SourceFileLoader
        importlib.machinery.SourcelessFileLoader importlib.machinery.ExtensionFileLoader zipimport.zipimporter
        imp.load_source imp.load_module imp.load_dynamic pkgutil.get_loader pydoc.locate pydoc.safeimport""",
    ),
    **_all(Rule.PYTHON_DELETES_FILES, _MEDIUM, "remove unlink rmdir removedirs", "os."),
    **_all(Rule.PYTHON_DELETES_FILES, _MEDIUM, "truncate ftruncate", "os."),
    **_all(
        Rule.PYTHON_DELETES_FILES,
        _MEDIUM,
        "shutil.rmtree send2trash.send2trash pathlib.Path().unlink pathlib.Path().rmdir",
    ),
    **_all(
        Rule.PYTHON_WRITES_FILES,
        _LOW,
        "copy copy2 copyfile copytree move make_archive unpack_archive",
        "shutil.",
    ),
    **_all(
        Rule.PYTHON_WRITES_FILES,
        _LOW,
        "rename renames replace link symlink mkfifo mknod makedirs mkdir",
        "os.",
    ),
    **_all(
        Rule.PYTHON_CHANGES_PERMISSIONS,
        _MEDIUM,
        "os.chmod os.fchmod os.lchmod os.chown os.fchown os.lchown os.umask",
    ),
    **_all(Rule.PYTHON_CHANGES_PERMISSIONS, _MEDIUM, "shutil.chown pathlib.Path().chmod os.setxattr"),
    **_all(
        Rule.PYTHON_UNPICKLES,
        _HIGH,
        """pickle.load pickle.loads pickle.Unpickler marshal.load marshal.loads dill.load dill.loads
        cloudpickle.load
        cloudpickle.loads shelve.open jsonpickle.decode joblib.load pandas.read_pickle torch.load
        numpy.lib.npyio.load
        yaml.unsafe_load yaml.full_load yaml.load_all ruamel.yaml.YAML""",
    ),
    **_all(
        Rule.PYTHON_CALLS_NATIVE_CODE, _HIGH, "mmap.PROT_EXEC numba.carray llvmlite.binding os.memfd_create"
    ),
    **_all(
        Rule.PYTHON_READS_ENVIRONMENT, _MEDIUM, "os.environ os.environb os.getenv os.getenvb os.environ.copy"
    ),
    **_all(
        Rule.PATH_CREDENTIALS,
        _HIGH,
        "keyring.get_password getpass.getpass pwd.getpwall spwd.getspall netrc.netrc",
    ),
    **_all(
        Rule.PATH_CREDENTIALS, _HIGH, "secretstorage.dbus_init browser_cookie3.chrome browser_cookie3.load"
    ),
    **_all(
        Rule.PYTHON_OPENS_NETWORK,
        _MEDIUM,
        "asyncio.open_connection asyncio.start_server asyncio.open_unix_connection",
    ),
    **_all(Rule.PYTHON_WEAK_PRACTICE, _HIGH, "ssl._create_unverified_context tempfile.mktemp"),
}

METHODS: Final[Mapping[str, Entry]] = {
    **_all(Rule.PYTHON_DELETES_FILES, _MEDIUM, "rmtree unlink rmdir removedirs"),
    **_all(Rule.PYTHON_STARTS_PROCESSES, _MEDIUM, "popen forkpty create_subprocess_shell subprocess_exec"),
    **_all(Rule.PYTHON_OPENS_NETWORK, _MEDIUM, "create_connection sendto connect_ex urlopen urlretrieve"),
    **_all(Rule.PYTHON_RUNS_TEXT_AS_CODE, _HIGH, "exec_module run_cell run_code runsource runcode"),
}
"""Methods that are called on something unknown, by their own name."""

_NETWORK: Final = """socket ssl urllib http ftplib smtplib requests httpx httpx2 aiohttp urllib3
imaplib poplib
nntplib telnetlib xmlrpc socketserver websockets websocket paramiko fabric dns boto3 botocore grpc
pycurl scapy
twisted tornado
zmq redis pymongo psycopg psycopg2 asyncpg mysql pymysql slack_sdk telebot telegram discord tweepy kafka
pika nmap
google.cloud azure cgi wsgiref flask fastapi uvicorn"""

MODULES: Final[Mapping[str, Entry]] = {
    **_all(Rule.PYTHON_STARTS_PROCESSES, _MEDIUM, "subprocess pty pexpect commands popen2 sh plumbum invoke"),
    **_all(Rule.PYTHON_STARTS_PROCESSES, _LOW, "multiprocessing"),
    **_all(Rule.PYTHON_OPENS_NETWORK, _MEDIUM, _NETWORK),
    **_all(Rule.PYTHON_UNPICKLES, _MEDIUM, "pickle marshal shelve dill cloudpickle jsonpickle"),
    **_all(Rule.PYTHON_CALLS_NATIVE_CODE, _HIGH, "ctypes cffi llvmlite keystone unicorn"),
    **_all(
        Rule.PYTHON_HOOKS_INTERPRETER,
        _MEDIUM,
        "bdb pdb code codeop sitecustomize usercustomize ensurepip pip",
    ),
    **_all(Rule.PATH_CREDENTIALS, _HIGH, "keyring secretstorage browser_cookie3 spwd pynput keyboard"),
    **_all(Rule.PYTHON_STARTS_PROCESSES, _HIGH, "docker kubernetes"),
}
"""Modules whose import is worth a word, by their first or first two names."""

HARMLESS_MODULES: Final = frozenset(
    [
        "urllib.parse",
        "urllib.error",
        "http.HTTPStatus",
        "http.cookies",
        "http.client.responses",
        "http.HTTPMethod",
        "pickle.HIGHEST_PROTOCOL",
        "pickle.PicklingError",
        "socket.gethostname",
        "subprocess.CalledProcessError",
        "subprocess.PIPE",
        "subprocess.DEVNULL",
        "subprocess.STDOUT",
        "subprocess.TimeoutExpired",
        "requests.exceptions",
        "multiprocessing.cpu_count",
    ]
)
"""Parts of those modules that are not."""

PATH_WRITERS: Final = frozenset(
    [
        "write_text",
        "write_bytes",
        "to_csv",
        "to_json",
        "to_excel",
        "to_parquet",
        "to_pickle",
        "to_html",
        "to_feather",
        "to_hdf",
        "savefig",
        "savez",
        "savetxt",
        "touch",
        "mkdir",
        "symlink_to",
        "hardlink_to",
        "rename",
        "replace",
    ]
)
"""Methods that write to a path, which is their first argument or the path that they are called on."""

INTERNALS: Final = frozenset(
    [
        "__subclasses__",
        "__globals__",
        "__code__",
        "__bases__",
        "__base__",
        "__mro__",
        "__closure__",
        "__builtins__",
        "gi_frame",
        "gi_code",
        "cr_frame",
        "ag_frame",
        "f_globals",
        "f_back",
        "f_locals",
        "f_builtins",
        "tb_frame",
        "func_globals",
        "func_code",
        "__reduce__",
        "__reduce_ex__",
        "__loader__",
        "co_consts",
        "co_code",
        "__init_subclass__",
        "__class_getitem__",
        "__mro_entries__",
        "__import__",
    ]
)
"""Attributes that lead from any object to all of the interpreter."""

SENSITIVE_OWNERS: Final = frozenset(
    [
        "os",
        "sys",
        "subprocess",
        "builtins",
        "importlib",
        "socket",
        "shutil",
        "ctypes",
        "pickle",
        "marshal",
        "posix",
        "ssl",
        "hashlib",
        "hmac",
        "secrets",
        "globals()",
        "locals()",
        "vars()",
        "types",
        "code",
        "pty",
        "threading",
        "gc",
        "inspect",
    ]
)
"""Modules from which a function taken by a name that is not known may be anything."""

HARMLESS_VARIABLES: Final = frozenset(
    [
        "HOME",
        "PATH",
        "LANG",
        "LC_ALL",
        "LANGUAGE",
        "TZ",
        "USER",
        "USERNAME",
        "LOGNAME",
        "SHELL",
        "TERM",
        "TMPDIR",
        "TEMP",
        "TMP",
        "PWD",
        "HOSTNAME",
        "COLUMNS",
        "LINES",
        "DEBUG",
        "NO_COLOR",
        "CI",
        "PYTHONHASHSEED",
        "OMP_NUM_THREADS",
        "MPLBACKEND",
        "DISPLAY",
        "EDITOR",
        "NODE_ENV",
        "PORT",
        "LOG_LEVEL",
        "ENV",
    ]
)
