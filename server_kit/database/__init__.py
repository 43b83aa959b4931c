"""The database seam: one writer, durable commits, and news of changes across processes."""
