"""What is remembered of every recording: the rules, and the two places to keep it.

The rules stand once, in ``rules``; ``sqlite`` and ``memory`` only store what they decide.
"""
