"""What the approval server and the executor agree on.

Pure values and functions: no I/O, no settings, no framework. An implementation in another language can be
checked against ``tests/vectors``.
"""
