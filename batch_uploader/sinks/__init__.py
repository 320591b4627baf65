"""The sinks: each module or package implements ``ports.Sink``."""
