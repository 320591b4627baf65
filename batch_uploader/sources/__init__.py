"""The sources: implementations of ``ports.Source``."""
