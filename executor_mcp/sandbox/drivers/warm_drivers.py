"""The drivers that a warm sandbox loads in advance, by the path that a job names.

As source, or compiled already.

Empty here; `job_message` or `pool.compiled` fills it when it puts the supervisor together.
"""

from __future__ import annotations

DRIVERS: dict[str, str | bytes] = {}
