"""Begins the warm supervisor. Part of its source, and the last of it."""

from __future__ import annotations

from warm_supervisor import main

main()
