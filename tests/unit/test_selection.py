"""Which files matter, by their names."""

import pytest

from batch_uploader.sources.selection import FileKind, Selection, literal


@pytest.mark.parametrize("ending", ["[", "*", "?", "[a-", "]", "[!x]", "x y", "\\", "[*?"])
def test_a_literal_matches_itself_alone(ending):
    """Fault 101: no ending in a manifest makes a pattern that cannot be read."""
    selection = Selection([f"*.{literal(ending)}"])
    assert selection.kind(f"a/b.{ending}") is FileKind.AUDIO
    assert selection.kind("a/b.xyz") is FileKind.OTHER
