"""The executor's own tables, its stores over them, and their migrations."""
