"""Grants: what a person allows an agent in advance, kept, counted and ended."""
