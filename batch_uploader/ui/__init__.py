"""What people see: one Tally of a run, three renderers, a summary, and lines of text.

``progress`` makes the Listener of a run, ``summary`` says at its end what there is to remember;
``stream`` and ``text``, all that an error or a hint takes, import next to nothing. Everything goes
to stderr but the events of ``--progress json``, which are data and go to stdout.
"""
