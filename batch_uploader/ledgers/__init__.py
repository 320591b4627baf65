"""The ledger: the durable record of every recording.

``rules`` has the allowed changes of state, ``adoption`` rebuilds a lost ledger from its manifest;
``sqlite`` and ``memory`` are the implementations.
"""
