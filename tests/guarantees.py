"""What this project promises, and for each promise the tests that would go red if it were broken.

A promise with tests and without `missing` is kept. One with both is kept in the part that its tests show;
`missing` says what is not there. One without tests is not kept, and nothing that users read may claim it.
`docs/guarantees.md` shows the same table to readers, and `tests/architecture/test_guarantees.py` checks both
against the tests that exist.
"""

from __future__ import annotations

from tests.promises.approval import APPROVAL
from tests.promises.audit_and_data import AUDIT_AND_DATA
from tests.promises.doors import DOORS
from tests.promises.execution import EXECUTION
from tests.promises.promise import Promise, Standing
from tests.promises.token import TOKEN

__all__ = ["PROMISES", "Promise", "Standing"]

PROMISES: tuple[Promise, ...] = (*APPROVAL, *TOKEN, *EXECUTION, *AUDIT_AND_DATA, *DOORS)
