"""What the tests of a directory as a source share."""

import sys
from contextlib import aclosing

import pytest

from batch_uploader.core.model import Defect

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")


async def scan(source):
    """All the entries and all that was unreadable, by path."""
    entries, unreadable = {}, {}
    async with aclosing(source.entries()) as listings:
        async for listing in listings:
            entries.update({entry.path: entry for entry in listing.entries})
            unreadable.update({defect.path: defect for defect in listing.unreadable})
    assert all(isinstance(defect, Defect) and defect.cure for defect in unreadable.values())
    return entries, unreadable
