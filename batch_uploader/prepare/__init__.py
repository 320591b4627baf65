"""Turns the listed files of a recording into one that is ready to be claimed, or its defects."""
