"""Shapes of actions: what a person may allow in advance, compared strictly and told in plain words. Pure."""
