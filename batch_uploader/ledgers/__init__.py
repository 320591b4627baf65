"""What is remembered of every recording.

``rules`` says what may follow from what, ``adoption`` what follows from the manifest of a ledger
that was lost; ``sqlite`` and ``memory`` are the places to keep it.
"""
