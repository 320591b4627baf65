"""Turns a pair of files into a recording that is ready to be claimed, or its defects."""
