"""How a program reaches the names that were approved, and nothing else: through a proxy of its own."""
