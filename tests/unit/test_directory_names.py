"""Names that are no text, or that look like another one: each leads back to its own file."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.directory_harness import posix, scan

from batch_uploader.core.errors import SourceError
from batch_uploader.sources.directory import DirectorySource
from batch_uploader.sources.names import escape_name, unescape_name

linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")


@linux
@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"\xcf\xf0\xe8.wav", r"\xcf\xf0\xe8.wav"),
        ("й".encode() + b"\xff.wav", r"й\xff.wav"),
        (rb"a\x41.wav", r"a\x5cx41.wav"),
        (rb"a\b.wav", r"a\b.wav"),
        (b"a\\\xff.wav", r"a\x5c\xff.wav"),
        (b"\x1b[31m\r\n.wav", "\x1b[31m\r\n.wav"),
        (b"\xed\xa0\x80.wav", r"\xed\xa0\x80.wav"),
    ],
)
async def test_a_name_that_is_not_utf_8_is_listed_opened_and_told_fault_39(tmp_path, raw, path):
    folder = os.fsencode(tmp_path) + b"/" + raw + b".d"
    os.mkdir(folder)  # noqa: PTH102 - the name is bytes
    for file in (folder + b"/" + raw, os.fsencode(tmp_path) + b"/" + raw):
        with open(file, "wb") as out:  # noqa: ASYNC230, PTH123 - likewise
            out.write(raw)
    source = DirectorySource(tmp_path)

    entries, _ = await scan(source)

    assert set(entries) == {path, f"{path}.d/{path}"}
    for listed in entries:
        with source.open(listed) as handle:
            assert handle.read() == raw
        assert source.stat(listed) == entries[listed]


@linux
async def test_a_root_that_is_not_utf_8_has_a_name_that_can_be_printed_fault_39(tmp_path):
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    source = DirectorySource(root, ignore=[root / "ledger.db"])

    with pytest.raises(SourceError) as caught:
        await scan(source)

    assert source.where.endswith(r"/\xff")
    str(caught.value).encode()


RAW_NAMES = st.lists(
    st.sampled_from(
        [b"\\", b"x", b"\\x5c", b"\\xff", b"\xff", "й".encode(), b"5c", b"\xed\xa0\x80"]
    )
    | st.binary(max_size=3),
    min_size=1,
    max_size=6,
).map(b"".join)


@posix
@given(RAW_NAMES)
@example(b"\\x5c")
@example(b"\\x5c\xff")
def test_names_are_valid_unicode_and_lead_back_fault_39(raw):
    name = os.fsdecode(raw)
    path = escape_name(name)

    path.encode()
    assert unescape_name(path) == name


@posix
@given(RAW_NAMES, RAW_NAMES)
def test_no_two_names_become_one_fault_39(one, other):
    assert (escape_name(os.fsdecode(one)) == escape_name(os.fsdecode(other))) == (one == other)


@given(st.text())
def test_any_text_as_a_path_opens_or_is_refused_in_words_fault_62(text):
    source = DirectorySource(Path(os.devnull).parent / "nowhere")

    with pytest.raises(SourceError) as caught:
        source.open(text)

    str(caught.value).encode()
