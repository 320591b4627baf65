"""How wide text is on a terminal, as rich measures it."""

import unicodedata

from rich.cells import cell_len


def cells(text):
    """The cells by the Unicode of this Python: a newer one has characters that became wide."""
    return cell_len(text, unicodedata.unidata_version)
