"""The run: one feed, many workers, and an orderly end."""
