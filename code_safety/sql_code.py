"""What SQL statements do, read with sqlglot. The dialect is not known: several are tried."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from code_safety.findings import Rule, Severity
from code_safety.inspection import Inspection
from code_safety.paths import judge_text
from code_safety.plain_text import inspect_plain_text
from code_safety.secret_patterns import find_secret

if TYPE_CHECKING:
    from sqlglot import exp

MAX_NESTING: Final = 20
MAX_TOKENS: Final = 20_000
DIALECTS: Final = ("duckdb", "sqlite", "postgres")
"""The executor's own dialects first. A text that one of them cannot read is read by the next."""

_FILE_FUNCTIONS: Final = re.compile(
    r"^(?:read_\w+|parquet_\w+|sniff_csv|glob|pg_read_\w+|pg_ls_\w+|pg_stat_file|lo_import|lo_export|load_file|readfile|writefile"
    r"|edit|fts3_tokenizer|dblink\w*|postgres_scan\w*|sqlite_scan\w*|mysql_scan\w*|http_get|http_post|xp_\w+|query_to_xml|st_read"
    r"|pg_file_write|iceberg_scan|delta_scan|from_csv_auto|utl_http|openrowset)$",
    re.IGNORECASE,
)
_EXTENSIONS: Final = re.compile(
    r"^(?:load_extension|sys_exec|sys_eval|plpython\w*|pg_load_\w+)$", re.IGNORECASE
)
_SETTINGS: Final = re.compile(
    r"^(?:set_config|pg_reload_conf|pg_terminate_backend|pg_cancel_backend|current_setting_)$", re.IGNORECASE
)
_READING_PRAGMAS: Final = re.compile(
    r"(?i)\b(?:table_info|table_xinfo|index_list|index_info|foreign_key_list|database_list|integrity_check|quick_check"
    r"|compile_options|show_tables|version|database_size|storage_info|user_version\s*$|page_count|table_list|function_list)\b"
)
_HARMLESS_STATEMENTS: Final = frozenset(
    [
        "Select",
        "Union",
        "Except",
        "Intersect",
        "Subquery",
        "Values",
        "Describe",
        "Show",
        "Transaction",
        "Commit",
        "Rollback",
        "Paren",
        "With",
        "Summarize",
        "Pivot",
        "From",
        "Table",
    ]
)
_RELEVANT_COMMANDS: Final[tuple[tuple[re.Pattern[str], Rule], ...]] = (
    (re.compile(r"^(?:LOAD|INSTALL|FORCE)$"), Rule.SQL_LOADS_EXTENSION),
    (re.compile(r"^(?:IMPORT|EXPORT|BACKUP|RESTORE|UNLOAD|COPY|ATTACH|DETACH)$"), Rule.SQL_REACHES_FILES),
    (re.compile(r"^(?:GRANT|REVOKE|REASSIGN|SECURITY)$"), Rule.SQL_CHANGES_RIGHTS),
    (re.compile(r"^(?:VACUUM|ANALYZE|REINDEX|CHECKPOINT|OPTIMIZE|CLUSTER)$"), Rule.SQL_CHANGES_SETTINGS),
    (re.compile(r"^(?:CREATE|ALTER|COMMENT|REFRESH)$"), Rule.SQL_CHANGES_SCHEMA),
    (re.compile(r"^(?:REPLACE|INSERT|UPSERT|LOCK)$"), Rule.SQL_CHANGES_ROWS),
    (re.compile(r"^(?:DROP|TRUNCATE)$"), Rule.SQL_DROPS),
)


def inspect_sql(code: str, inspection: Inspection) -> None:
    """Record what the statements do; a text that no dialect can read is unknown."""
    if _nesting(code) > MAX_NESTING:
        inspection.add(Rule.NOT_ANALYSED_TOO_COMPLEX)
        inspect_plain_text(code, inspection)
        return
    parsed = _parse(code)
    if parsed is None:
        inspection.add(Rule.SQL_SYNTAX_ERROR)
        inspect_plain_text(code, inspection)
        return
    if len(parsed) > 1:
        inspection.add(Rule.SQL_MULTIPLE_STATEMENTS)
    for statement in parsed:
        _inspect_statement(statement, inspection)
    if find_secret(code) is not None:
        inspection.add(Rule.SECRET_IN_TEXT)


@lru_cache(maxsize=1)
def _readers() -> tuple[tuple[Any, Any], ...]:
    """A tokenizing dialect and a parser class each. sqlglot takes half a second to import: at first use."""
    from sqlglot.dialects.dialect import Dialect

    readers: list[tuple[Any, Any]] = []
    for name in DIALECTS:
        dialect: Any = Dialect.get_or_raise(name)
        # The parser's own warning quotes the statement in a log, which code must never reach.
        quiet: Any = type("Quiet", (dialect.parser_class,), {"_warn_unsupported": _keep_silent})
        readers.append((dialect, quiet))
    return tuple(readers)


def _keep_silent(_parser: object) -> None:
    return


def _parse(code: str) -> list[exp.Expr] | None:
    """The statements, in the first dialect that reads them all and knows every one; else in the first one
    that
    reads them at all.
    """
    from sqlglot import exp  # With the dialects: at first use.
    from sqlglot.errors import SqlglotError

    fallback: list[exp.Expr] | None = None
    for dialect, parser in _readers():
        try:
            tokens = dialect.tokenize(code)
            if len(tokens) > MAX_TOKENS:
                return None
            statements = [each for each in parser(dialect=dialect).parse(tokens, code) if each is not None]
        except (SqlglotError, RecursionError, ValueError, TypeError, AttributeError, LookupError):
            continue
        if not any(isinstance(each, exp.Command | exp.Alias | exp.Column) for each in statements):
            return statements
        fallback = fallback or statements
    return fallback


def _inspect_statement(statement: exp.Expr, inspection: Inspection) -> None:
    from sqlglot import exp  # With the dialects: at first use.

    kind = type(statement).__name__
    if kind not in _HARMLESS_STATEMENTS and not isinstance(
        statement,
        exp.Delete
        | exp.Update
        | exp.Insert
        | exp.Merge
        | exp.Create
        | exp.Drop
        | exp.Alter
        | exp.TruncateTable
        | exp.Attach
        | exp.Detach
        | exp.Copy
        | exp.Pragma
        | exp.Command
        | exp.Set
        | exp.Grant
        | exp.Revoke
        | exp.Use,
    ):
        known = kind in {
            "Install",
            "Comment",
            "Analyze",
            "EndStatement",
            "Kill",
            "Cache",
            "Uncache",
            "Refresh",
            "LoadData",
        }
        if not known:
            inspection.add(Rule.SQL_UNFAMILIAR_STATEMENT)
    for node in statement.walk():
        _inspect_node(node, inspection)


def _inspect_node(node: exp.Expr, inspection: Inspection) -> None:
    from sqlglot import exp  # With the dialects: at first use.

    match type(node).__name__:
        case "Delete" | "Update":
            every = _holds_for_all(node.args.get("where")) and not node.args.get("limit")
            rule = Rule.SQL_CHANGES_EVERY_ROW if every else Rule.SQL_CHANGES_ROWS
            inspection.add(rule)
            if not every and _holds_for_nearly_all(node.args.get("where")):
                inspection.add(Rule.SQL_CHANGES_EVERY_ROW, severity=Severity.HIGH, detail="nearly")
        case "Merge":
            deletes = any(each.name.upper() == "DELETE" for each in node.find_all(exp.Var))
            inspection.add(Rule.SQL_CHANGES_ROWS, severity=Severity.HIGH if deletes else None)
            if _holds_for_all(node.args.get("on")):
                inspection.add(Rule.SQL_CHANGES_EVERY_ROW)
        case "Insert":
            inspection.add(
                Rule.SQL_CHANGES_ROWS, severity=Severity.HIGH if node.args.get("overwrite") else None
            )
        case "TruncateTable":
            inspection.add(Rule.SQL_CHANGES_EVERY_ROW)
        case "Drop":
            inspection.add(Rule.SQL_DROPS, severity=Severity.CRITICAL if _is_wide(node) else None)
        case "Create":
            kind = str(node.args.get("kind") or "").upper()
            runs = kind in {"TRIGGER", "FUNCTION", "PROCEDURE", "MACRO", "EXTENSION", "LANGUAGE"}
            replaces = bool(node.args.get("replace"))
            inspection.add(Rule.SQL_CHANGES_SCHEMA, severity=Severity.HIGH if runs or replaces else None)
        case "Alter":
            drops = node.find(exp.Drop) is not None
            inspection.add(Rule.SQL_CHANGES_SCHEMA, severity=Severity.HIGH if drops else Severity.MEDIUM)
        case "Attach" | "Detach" | "Copy" | "LoadData" | "Export" | "Directory":
            inspection.add(Rule.SQL_REACHES_FILES)
        case "Into":
            inspection.add(Rule.SQL_CHANGES_SCHEMA)
        case "Install":
            inspection.add(Rule.SQL_LOADS_EXTENSION)
        case "Pragma":
            reads = _READING_PRAGMAS.search(node.sql()) is not None and node.find(exp.EQ) is None
            if not reads:
                dangerous = re.search(
                    r"(?i)writable_schema|trusted_schema|load_extension|journal_mode|key", node.sql()
                )
                inspection.add(Rule.SQL_CHANGES_SETTINGS, severity=Severity.HIGH if dangerous else None)
        case "Set" | "SetItem" | "Use" | "Kill":
            inspection.add(Rule.SQL_CHANGES_SETTINGS)
        case "Grant" | "Revoke":
            inspection.add(Rule.SQL_CHANGES_RIGHTS)
        case "Command":
            _inspect_command(node, inspection)
        case "Table":
            _inspect_table(node, inspection)
        case "Literal" if node.is_string:
            if (verdict := judge_text(str(node.this))) is not None:
                inspection.add(verdict.rule, severity=verdict.severity)
        case _ if isinstance(node, exp.Func):
            _inspect_function(node, inspection)
        case _:
            pass


def _inspect_command(node: exp.Expr, inspection: Inspection) -> None:
    """A statement that sqlglot does not take apart: its first word says what kind it is, the rest is read
    on."""
    word = str(node.this).upper()
    rest = node.args.get("expression")
    text = rest if isinstance(rest, str) else str(getattr(rest, "this", rest) or "")
    if word == "EXPLAIN":
        runs = re.match(r"(?i)\s*\(?\s*analyze\b", text)
        inner = re.sub(r"(?i)^\s*(?:\([^)]{0,200}\)|(?:analyze|verbose|query\s+plan)\b\s*)+", "", text)
        if runs is not None or not re.match(
            r"(?i)\s*(?:query\s+plan|select|with|delete|update|insert)", text
        ):
            inspection.embedded("sql", inner, inspection.place())
        return
    for pattern, rule in _RELEVANT_COMMANDS:
        if pattern.match(word):
            inspection.add(rule, severity=Severity.HIGH if word in {"CREATE", "ALTER"} else None)
            if rule is Rule.SQL_CHANGES_SCHEMA:
                inspect_plain_text(text, inspection)
            return
    inspection.add(Rule.SQL_UNFAMILIAR_STATEMENT)
    inspect_plain_text(text, inspection)


def _inspect_table(node: exp.Expr, inspection: Inspection) -> None:
    name = node.name
    if re.search(r"[/\\.]\w{2,7}$|://", name) or "*" in name:
        severity = Severity.HIGH if "://" in name or name.startswith(("/", "~", "..")) else Severity.LOW
        inspection.add(Rule.SQL_REACHES_FILES, severity=severity)
        if (verdict := judge_text(name)) is not None:
            inspection.add(verdict.rule, severity=verdict.severity)
    if name.lower() in {"pg_shadow", "pg_authid", "pg_user_mapping", "duckdb_secrets"}:
        inspection.add(Rule.PATH_CREDENTIALS)


def _inspect_function(node: exp.Expr, inspection: Inspection) -> None:
    kind = type(node).__name__
    name = (
        node.name
        if kind in {"Anonymous", "AnonymousAggFunc"}
        else str(getattr(node, "sql_name", lambda: kind)())
    )
    if _FILE_FUNCTIONS.match(name) or kind in {"ReadCSV", "ReadParquet"}:
        texts = [str(each.this) for each in _literals(node)]
        relative = bool(texts) and not any(
            "://" in text or text.startswith(("/", "~", "..")) for text in texts
        )
        plain = relative and name.lower().startswith(("read_", "readcsv", "parquet", "sniff"))
        inspection.add(Rule.SQL_REACHES_FILES, severity=Severity.LOW if plain else None)
    elif _EXTENSIONS.match(name):
        inspection.add(Rule.SQL_LOADS_EXTENSION)
    elif _SETTINGS.match(name):
        inspection.add(Rule.SQL_CHANGES_SETTINGS, severity=Severity.HIGH)
    elif name.lower() in {"getenv", "current_setting"}:
        inspection.add(Rule.COMMAND_READS_ENVIRONMENT, severity=Severity.MEDIUM)


def _literals(node: exp.Expr) -> Sequence[Any]:
    from sqlglot import exp  # With the dialects: at first use.

    return [each for each in node.find_all(exp.Literal) if each.is_string]


def _is_wide(node: exp.Expr) -> bool:
    return str(node.args.get("kind") or "").upper() in {"DATABASE", "SCHEMA", "CATALOG", "ROLE", "USER"}


def _holds_for_all(where: exp.Expr | None, depth: int = 0) -> bool:
    """Tell whether a condition is missing, or true for every row: 1=1, 'a'='a', TRUE, NOT FALSE, x OR 1=1,
    x = x."""
    from sqlglot import exp  # With the dialects: at first use.

    if where is None:
        return True
    if depth > 30:
        return True
    condition: Any = where.this if isinstance(where, exp.Where) else where
    match condition:
        case exp.Paren():
            return _holds_for_all(condition.this, depth + 1)
        case exp.And():
            return _holds_for_all(condition.left, depth + 1) and _holds_for_all(condition.right, depth + 1)
        case exp.Or():
            return _holds_for_all(condition.left, depth + 1) or _holds_for_all(condition.right, depth + 1)
        case exp.Not():
            return _never_holds(condition.this)
        case exp.EQ() | exp.GTE() | exp.LTE() | exp.Is() | exp.NullSafeEQ():
            return condition.left == condition.right or _compares_constants(condition)
        case exp.Like() | exp.ILike() | exp.Glob():
            return condition.expression.is_string and set(str(condition.expression.this)) in ({"%"}, {"*"})
        case exp.Exists():
            inner: Any = condition.find(exp.Select)
            return inner is not None and inner.find(exp.Column) is None
        case exp.In():
            return condition.this in (condition.args.get("expressions") or [])
        case exp.Between() | exp.NEQ() | exp.GT() | exp.LT():
            return condition.find(exp.Column) is None and condition.find(exp.Subquery) is None
        case _:
            # A constant: TRUE, 1, 'x', length('x'). What names no column does not choose among rows.
            return not any(
                isinstance(each, exp.Column | exp.Subquery | exp.Placeholder | exp.Parameter)
                for each in condition.walk()
            )


def _holds_for_nearly_all(where: Any) -> bool:
    """Tell whether a condition looks like a choice and makes none: ``id > 0``, ``name IS NOT NULL``."""
    from sqlglot import exp  # With the dialects: at first use.

    condition: Any = where.this if isinstance(where, exp.Where) else where
    match condition:
        case exp.Not(this=exp.Is() as inner):
            return isinstance(inner.expression, exp.Null)
        case exp.GT() | exp.GTE() | exp.NEQ():
            number = condition.expression
            if isinstance(number, exp.Neg):
                return True
            named = isinstance(condition.this, exp.Column) and condition.this.name.lower().endswith("id")
            return named and isinstance(number, exp.Literal) and str(number.this) in {"0", "", "-1"}
        case _:
            return False


def _never_holds(condition: Any) -> bool:
    from sqlglot import exp  # With the dialects: at first use.

    if isinstance(condition, exp.Paren):
        return _never_holds(condition.this)
    if isinstance(condition, exp.Is) and isinstance(condition.expression, exp.Null):
        return False
    return condition.find(exp.Column) is None and condition.find(exp.Subquery) is None


def _compares_constants(condition: Any) -> bool:
    from sqlglot import exp  # With the dialects: at first use.

    return not any(
        isinstance(each, exp.Column | exp.Subquery | exp.Placeholder | exp.Parameter | exp.Null)
        for each in condition.walk()
    )


def _nesting(code: str) -> int:
    depth = deepest = 0
    for character in re.findall(r"[()\[\]]|\bcase\b|\bend\b", code, re.IGNORECASE):
        depth += 1 if character in "([" or character.lower() == "case" else -1
        deepest = max(deepest, depth)
    return deepest
