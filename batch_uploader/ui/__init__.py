"""The user interface: one Tally of a run, three renderers, a summary, and lines of text.

``progress`` makes the Listener of a run, ``summary`` prints its result; ``stream`` and ``text``,
which is all that errors and hints need, import next to nothing. All output goes to stderr, except
the events of ``--progress json``, which are data and go to stdout.
"""
