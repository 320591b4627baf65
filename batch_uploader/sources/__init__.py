"""Where recordings come from: each module is one implementation of ``ports.Source``."""
