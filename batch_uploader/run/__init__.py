"""The run: what is to be sent, by many workers, to an orderly end."""
