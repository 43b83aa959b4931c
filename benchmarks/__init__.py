"""Measures the approval server beside the floor that its protocol and transport set."""
