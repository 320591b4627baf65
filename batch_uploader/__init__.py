"""Puts a directory of call recordings into Yandex SpeechSense exactly once."""

__version__ = "0.1.0"
