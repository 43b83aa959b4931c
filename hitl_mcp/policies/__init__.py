"""Policies: what people are asked for, given a submission."""
