"""`hitl hook`: answers Claude Code's hooks. Started for every call of a tool, so it loads next to nothing."""
