"""What is remembered of every recording.

``rules`` says what may follow from what; ``sqlite`` and ``memory`` are the places to keep it.
"""
