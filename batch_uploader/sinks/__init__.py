"""Where recordings go: one package for each kind of place."""
