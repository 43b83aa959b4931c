"""Packages that programs may use: allowed by a list, locked with hashes, checked against known
vulnerabilities, and laid into a sandbox as read-only layers. Nothing is installed for an execution.
"""
