"""The warm pool: containers that wait for a program, each used once and never again."""
