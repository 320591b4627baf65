"""Legs: two files of one channel that are one call. They are listed, described and sent as one."""
