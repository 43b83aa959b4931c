"""The languages that programs can be written in: one module each. docs/languages.md says how to add one."""
