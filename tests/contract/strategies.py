"""Hypothesis strategies for actions and JSON values."""

from hypothesis import strategies as st

text = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
safe_integers = st.integers(min_value=-(2**53) + 1, max_value=2**53 - 1)
# A whole float from 2**53 to 1e21 is written like an integer, which parsers read differently: refused.
floats = st.floats(allow_nan=False, allow_infinity=False).filter(
    lambda number: not number.is_integer() or abs(number) < 2**53 or abs(number) >= 1e21
)
json_values = st.recursive(
    st.none() | st.booleans() | safe_integers | floats | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
_names = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
_lines = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=30)
_code = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=60).filter(
    lambda code: code.strip()
)
_references = st.fixed_dictionaries(
    {
        "path": _names,
        "reference": st.builds(
            "execution://exe_{}/files/{}".format, st.from_regex(r"[a-z2-7]{26}", fullmatch=True), _names
        ),
        "sha256": st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    }
)
_files = st.lists(
    st.fixed_dictionaries({"path": _names, "content": text}) | _references,
    max_size=3,
    unique_by=lambda file: file["path"],
)
_limits = st.fixed_dictionaries(
    {},
    optional={
        "wall_seconds": st.floats(min_value=0.1, max_value=3600),
        "memory_mb": st.integers(16, 65536),
        "cpus": st.floats(min_value=0.05, max_value=64),
        "pids": st.integers(1, 4096),
        "disk_mb": st.integers(1, 65536),
        "output_kb": st.integers(1, 65536),
    },
)
_network = st.one_of(
    st.just({"mode": "none"}),
    st.lists(_names.map(lambda name: f"{name}.example"), min_size=1, max_size=3, unique=True).map(
        lambda domains: {"mode": "allowlist", "domains": domains}
    ),
)
code_executions = st.fixed_dictionaries(
    {
        "type": st.just("code_execution"),
        "language": st.sampled_from(["python", "nodejs", "bash", "sql"]),
        "code": _code,
    },
    optional={
        "input_data": json_values,
        "files": _files,
        "packages": st.lists(_names, max_size=3, unique=True),
        "network": _network,
        "limits": _limits,
        "profile": st.sampled_from(["restricted", "standard", "trusted"]),
        "runtime": st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True),
    },
)
operations = st.one_of(
    st.fixed_dictionaries(
        {
            "type": st.just("shell_command"),
            "argv": st.lists(_lines, max_size=3).map(lambda more: ["tool", *more]),
        },
        optional={"cwd": _lines.filter(bool), "env": st.dictionaries(_names, _lines, max_size=3)},
    ),
    st.fixed_dictionaries(
        {"type": st.just("tool_call"), "server": _names, "tool": _names},
        optional={"arguments": st.dictionaries(text, json_values, max_size=3)},
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("http_request"),
            "method": st.sampled_from(["GET", "POST"]),
            "url": _names.map(lambda name: f"https://{name}.example/"),
        },
        optional={"body_sha256": st.from_regex(r"[0-9a-f]{64}", fullmatch=True)},
    ),
    st.fixed_dictionaries({"type": st.just("file_change"), "path": _names, "diff": _lines.filter(bool)}),
    st.fixed_dictionaries(
        {"type": st.just("generic"), "operation": _names},
        optional={"details": st.dictionaries(text, json_values, max_size=3)},
    ),
)
_exact = st.builds("{}=={}".format, _names, st.sampled_from(["1", "1.0", "2.0rc1", "1!3.4.post2+cpu.1"]))
package_additions = st.lists(
    _exact, min_size=1, max_size=6, unique_by=lambda requirement: requirement.split("==")[0]
).flatmap(
    lambda all_of_them: st.integers(1, len(all_of_them)).map(
        lambda count: {
            "type": "package_addition",
            "language": "python",
            "packages": all_of_them[:count],
            "needs": all_of_them[count:],
        }
    )
)
_nodejs_exact = st.builds(
    "{}{}@{}".format,
    st.sampled_from(["", "@scope/"]),
    _names,
    st.sampled_from(["1.0.0", "1.0.1", "2.0.0-rc.1"]),
)
nodejs_additions = st.lists(_nodejs_exact, min_size=1, max_size=6, unique=True).map(
    lambda all_of_them: {
        "type": "package_addition",
        "language": "nodejs",
        "packages": all_of_them[:1],
        "needs": all_of_them[1:],
    }
)
actions = code_executions | package_additions | nodejs_additions | operations
