"""The filter of system calls that every program gets, compiled for this machine. Part of the burst
supervisor's source.

Empty here; `burst.program` fills it when it puts the supervisor together.
"""

from __future__ import annotations

INSTRUCTIONS = b""
