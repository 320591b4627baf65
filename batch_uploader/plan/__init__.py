"""Decides what to do with the files of a source."""
