"""Metadata from tables: CSV, JSON, XLSX and SQL, indexed in a file of its own, matched by name.

``spec`` has what the settings say of a table, ``table`` is what others use: it refreshes the index
and finds what a recording's row says. The readers (``delimited``, ``jsonrows``, ``xlsx``, ``sql``)
yield rows and faults one by one, so a table may be larger than the memory.
"""
