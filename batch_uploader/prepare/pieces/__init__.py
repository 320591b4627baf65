"""Pieces: a recording that is longer than the service takes, cut at silence if that is wanted."""
