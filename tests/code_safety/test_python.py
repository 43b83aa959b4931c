"""Each rule about Python: a program that it is about, and a harmless one that looks like it."""

from __future__ import annotations

import pytest

from code_safety.findings import Severity
from tests.code_safety.analysing import analysed, rules

TWINS = [
    ("python.runs_text_as_code", "eval(text)", "import ast\nast.literal_eval(text)"),
    ("python.runs_text_as_code", "compile(text, 'x', 'exec')", "import re\nre.compile(r'a+')"),
    (
        "python.runs_text_as_code",
        "import runpy\nrunpy.run_path('x')",
        "def evaluate(x):\n    return x\nevaluate(1)",
    ),
    (
        "python.runs_decoded_payload",
        "import base64\nexec(base64.b64decode(data))",
        "import base64\nprint(base64.b64decode(data))",
    ),
    ("python.hides_names", "import os\ngetattr(os, name)()", "getattr(row, 'total')"),
    ("python.hides_names", "import os\nos.__dict__[name]()", "values = {'a': 1}\nvalues['a']"),
    ("python.disguised_name", "\uff50rint('x')", "größe = 1\nprint(größe)"),
    ("python.walks_internals", "x.__class__.__subclasses__()", "print(x.__class__.__name__)"),
    ("python.changes_builtins", "import json\njson.loads = None", "class A: pass\na = A()\na.loads = None"),
    ("python.hooks_interpreter", "import sys\nsys.settrace(f)", "import sys\nprint(sys.version)"),
    ("python.imports_computed_module", "__import__(name)", "import importlib.metadata"),
    ("python.starts_processes", "import os\nos.system('ls')", "import os\nos.path.join('a', 'b')"),
    ("python.starts_processes", "import subprocess as s\ns.run(['ls'])", "runner = {}\nrunner.get('ls')"),
    ("python.fork_bomb", "import os\nwhile True:\n    os.fork()", "for fork in ['a']:\n    print(fork)"),
    ("python.opens_network", "import urllib.request", "from urllib.parse import urlsplit"),
    (
        "python.opens_network",
        "import socket\nsocket.create_connection(('x', 1))",
        "from http import HTTPStatus",
    ),
    ("python.unpickles", "import pickle\npickle.load(f)", "import json\njson.load(f)"),
    ("python.unpickles", "import yaml\nyaml.load(t, Loader=yaml.Loader)", "import yaml\nyaml.safe_load(t)"),
    ("python.unpickles", "import yaml\nyaml.load(t)", "import yaml\nyaml.load(t, Loader=yaml.SafeLoader)"),
    ("python.calls_native_code", "from ctypes import cdll", "from collections import deque"),
    ("python.deletes_files", "import os\nos.remove('a')", "items = [1]\nitems.remove(1)"),
    (
        "python.deletes_files",
        "from pathlib import Path\nPath('a').unlink()",
        "from pathlib import Path\nPath('a').name",
    ),
    ("python.deletes_files", "import shutil\nshutil.rmtree(d)", "import shutil\nshutil.disk_usage('.')"),
    ("python.changes_permissions", "import os\nos.chmod('a', 0o777)", "import os\nos.stat('a')"),
    ("python.reads_environment", "import os\nos.environ['API_TOKEN']", "import os\nos.environ['HOME']"),
    ("python.reads_environment", "import os\nprint(dict(os.environ))", "import os\nprint(os.getcwd())"),
    ("python.endless_loop", "while True:\n    pass", "while True:\n    if done():\n        break"),
    ("python.huge_allocation", "x = 'a' * 10**10", "x = '-' * 80"),
    ("python.huge_allocation", "x = 10**10**10", "x = 10**10"),
    ("python.weak_practice", "import requests\nrequests.get(u, verify=False)", "import math\nmath.sqrt(2)"),
    (
        "python.weak_practice",
        "import tarfile\ntarfile.open('a').extractall()",
        "import tarfile\ntarfile.open('a').getnames()",
    ),
    ("path.credentials", "open('/home/ada/.ssh/id_rsa')", "open('data/keys.csv')"),
    ("path.credentials", "x = '~/.aws/credentials'", "x = 'awesome'"),
    ("path.system", "open('/etc/x', 'w')", "open('etc.csv', 'w')"),
    ("path.traversal", "open('../../x', 'w')", "open('a/../x', 'w')"),
    ("path.runs_later", "open('.bashrc', 'a')", "open('profile.csv', 'w')"),
    ("secret.in_text", "key = 'AKIA" + "Z" * 16 + "'", "key = 'name'"),
    ("flow.mines_coins", "url = 'stratum+tcp://pool.x.y:3333'", "layer = 'stratum'"),
    ("http.metadata_address", "u = 'http://169.254.169.254/latest'", "u = 'http://example.com/latest'"),
    (
        "flow.credentials_to_network",
        "import requests\nrequests.post(u, data=open('/home/ada/.ssh/id_rsa'))",
        "import requests\nrequests.post(u, data=open('a'))",
    ),
    ("sql.changes_every_row", "connection.execute('DELETE FROM t')", "connection.execute('SELECT a FROM t')"),
    ("command.deletes_widely", "import os\nos.system('rm -rf /')", "print('rm -rf is dangerous')"),
]

HARMLESS = [
    "import csv\nwith open('in.csv') as f, open('out.csv', 'w', newline='') as g:\n"
    "    w = csv.writer(g)\n    for row in csv.reader(f):\n        w.writerow(row)",
    "import pandas as pd\ndf = pd.read_csv('a.csv')\nfor name, group in df.groupby('x'):\n"
    "    print(name, group['y'].mean())\ndf.to_csv('out.csv', index=False)",
    "import json, math, statistics\nvalues = json.load(open('v.json'))\n"
    "print(statistics.mean(values), math.pi)",
    "from datetime import datetime, timedelta\nnow = datetime(2024, 1, 1)\n"
    "print([now + timedelta(days=n) for n in range(1000)])",
    "import re\npattern = re.compile(r'(\\d+)-(\\d+)')\nprint(pattern.sub(r'\\2', 'eval(1)'))",
    "from dataclasses import dataclass\n@dataclass\nclass Point:\n    x: int\n"
    "    y: int = 0\nprint(Point(1).x)",
    "import numpy as np\na = np.zeros((1000, 1000))\nfor i in range(1000):\n"
    "    a[i, i] = 1\nprint(np.linalg.inv(a).sum())",
    "from pathlib import Path\nfor path in sorted(Path('data').glob('*.txt')):\n"
    "    print(path.name, len(path.read_text()))",
    "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.rcParams['font.size'] = 8\n"
    "plt.savefig('plot.png')",
    "text = 'a,b'\nprint(text.split(','), text.replace('a', 'b'), ','.join(reversed(text)))",
    "import sys\nfrom collections import Counter\n"
    "print(Counter(sys.stdin.read().split()).most_common(3), file=sys.stderr)",
    "def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\nprint(fib(20))",
    "import argparse\np = argparse.ArgumentParser()\np.add_argument('--name')\nprint(p.parse_args([]).name)",
    "import itertools, random\nrandom.seed(1)\n"
    "print(list(itertools.permutations([1, 2, 3])), random.random())",
    "import logging\nlogging.basicConfig(level='INFO')\nlogging.getLogger(__name__).info('x')",
    "import hashlib\nprint(hashlib.sha256(b'x').hexdigest())",
    "import asyncio\nasync def main():\n    await asyncio.sleep(1)\nasyncio.run(main())",
    "class Stack:\n    def __init__(self):\n        self.items = []\n"
    "    def __len__(self):\n        return len(self.items)\n    def remove(self, x):\n"
    "        self.items.remove(x)",
    "import os\nos.makedirs('out', exist_ok=True)\nprint(os.listdir('.'), os.path.exists('a'))",
    "import base64, zlib\nprint(zlib.compress(base64.b64encode(b'x')))",
]


@pytest.mark.parametrize(("rule", "dangerous", "harmless"), TWINS)
def test_a_rule_finds_what_it_is_about_and_not_what_looks_like_it(
    rule: str, dangerous: str, harmless: str
) -> None:
    assert rule in rules(analysed(dangerous), Severity.MEDIUM)
    assert rule not in rules(analysed(harmless), Severity.MEDIUM)


@pytest.mark.parametrize("code", HARMLESS)
def test_plain_work_on_data_is_no_more_than_low(code: str) -> None:
    analysis = analysed(code)
    assert analysis.complete
    assert analysis.level is Severity.LOW


@pytest.mark.parametrize(
    ("code", "severity"),
    [
        ("open('out.csv', 'w')", Severity.LOW),
        ("import os\nos.system('ls')", Severity.MEDIUM),
        ("import shutil\nshutil.rmtree('build')", Severity.MEDIUM),
        ("import os\nos.system(command)", Severity.HIGH),
        ("import shutil\nshutil.rmtree('/')", Severity.CRITICAL),
        ("import os\nos.system('curl x | sh')", Severity.CRITICAL),
    ],
)
def test_the_level_grows_with_what_may_be_lost(code: str, severity: Severity) -> None:
    assert analysed(code).level is severity


def test_a_finding_says_where_it_is_in_characters_not_bytes() -> None:
    (found,) = [
        one
        for one in analysed("é = 1; eval(text)").findings
        if one.column == 8 and one.place.end_column == 12
    ]
    assert (found.where, found.line, found.place.end_line) == ("code", 1, 1)


def test_a_program_within_a_string_is_found_at_the_string() -> None:
    found = analysed("import os\n\nos.system('a\\nb\\nrm -rf /')").findings
    assert {one.line for one in found if one.rule == "command.deletes_widely"} == {3}


REFERENCE = {
    "reference": "execution://exe_abcdefghijklmnopqrstuvwxyz/files/a",
    "sha256": "0" * 64,
}


def test_a_program_that_comes_by_reference_is_unknown() -> None:
    found = analysed("import helper", files=[{**REFERENCE, "path": "helper.py"}])
    assert {one.rule for one in found.findings if one.unknown} == {"analysis.not_analysed"}


def test_a_package_among_the_files_of_a_program_is_analysed_too() -> None:
    files = [
        {"path": "helper.py", "content": "import os\nos.system('rm -rf /')"},
        {"path": "a.txt", "content": "eval("},
    ]
    found = analysed("import helper", files=files).findings
    assert {one.where for one in found} == {"files[0]"}


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"network": {"mode": "allowlist", "domains": ["example.com"]}}, "execution.network"),
        ({"packages": ["numpy"]}, "execution.packages"),
        ({"profile": "trusted"}, "execution.profile"),
        ({"files": [{**REFERENCE, "path": "a.csv"}]}, "execution.file_reference"),
    ],
)
def test_what_a_program_is_given_counts(fields: dict[str, object], rule: str) -> None:
    assert rules(analysed("print(1)", **fields)) == {rule}
    assert rules(analysed("print(1)")) == set()
