"""The programs that the demonstration's agent asks to run."""

from __future__ import annotations

import json
from typing import Any, Final

JUSTIFICATION: Final = "A customer asks what is still unpaid. I want to add up the open orders."
SUMMARY: Final = "Add up the open orders"
EXPECTED_RESULT: Final = {"open": 3, "total": 182.4}
_ORDERS: Final = [("A-1", 120.0, "open"), ("A-2", 75.5, "paid"), ("A-3", 42.4, "open"), ("A-4", 20.0, "open")]
_CODE: Final = """\
import json, time

total = count = 0
for order in json.load(open("orders.json")):
    print(order["id"], order["amount"], order["state"], flush=True)
    if order["state"] == "open":
        total, count = total + order["amount"], count + 1
    time.sleep(0.25)

{"open": count, "total": round(total, 2)}
"""


def approved_program() -> dict[str, Any]:
    """What the person is asked about, and what runs."""
    orders = [{"id": name, "amount": amount, "state": state} for name, amount, state in _ORDERS]
    return {
        "type": "code_execution",
        "language": "python",
        "code": _CODE,
        "files": [{"path": "orders.json", "content": json.dumps(orders)}],
        "limits": {"wall_seconds": 20, "memory_mb": 128, "pids": 16},
    }


def changed_program() -> dict[str, Any]:
    """The same program with one more line, which nobody approved."""
    return {**approved_program(), "code": "print('one more line')\n" + _CODE}


def idle_program() -> dict[str, Any]:
    """A program whose token is left to expire."""
    return {"type": "code_execution", "language": "python", "code": "print('never run')\n"}
