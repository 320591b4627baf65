"""A recording in pieces: those that were hashed, whether they come from a disk or from memory."""

import hashlib
import io
import tracemalloc

import anyio
import pytest
from anyio import to_thread
from support.audio_makers import wav

from batch_uploader.app.preparing import preparer_of
from batch_uploader.core.errors import SourceChanged
from batch_uploader.core.model import Entry
from batch_uploader.host import beneath
from batch_uploader.prepare.bundle import bundle_of
from batch_uploader.prepare.payload import Payload, read_behind
from batch_uploader.prepare.prepare import Prepared
from batch_uploader.prepare.rules import Rules, SidecarMode
from batch_uploader.sources.directory import DirectorySource
from batch_uploader.sources.memory import MemorySource

CONTENT = wav(20)
LARGE = wav(200)
HUGE = bytes(range(256)) * 10_000
RULES = Rules(sidecar=SidecarMode.OPTIONAL)


def envelope(recording):
    return b"envelope of " + recording.key.encode()


def prepared(source, whole_limit=0):
    entry = anyio.run(first_entry, source)
    found = preparer_of(source, "conn", RULES).prepare(bundle_of(entry), whole_limit, envelope)
    assert isinstance(found, Prepared)
    return found


async def first_entry(source):
    (listing,) = [each async for each in source.entries()]
    return listing.entries[0]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture(params=["cached", "not cached", "in memory"])
def payload(request, file, monkeypatch):
    """Of a file that is in the page cache, of one that is not, and of none at all."""
    if request.param == "not cached":
        monkeypatch.delattr("os.RWF_NOWAIT", raising=False)
    source = DirectorySource(file.parent)
    with_file = request.param != "in memory"
    payload = prepared(source if with_file else MemorySource({"a.wav": CONTENT})).payload
    yield payload
    payload.close()


async def pieces(payload, size):
    return [piece async for piece in payload.chunks(size)]


@pytest.mark.parametrize("size", [1000, len(CONTENT) - 1, len(CONTENT), 1 << 20])
def test_the_pieces_are_the_whole(payload, size):
    for _ in range(2):
        found = anyio.run(pieces, payload, size)
        assert b"".join(found) == CONTENT
        assert {len(piece) for piece in found[:-1]} <= {size}


@pytest.mark.parametrize("change", ["first byte", "last byte", "shorter"])
def test_the_last_piece_of_what_changed_is_held_back(payload, file, change):
    """Fault 33."""
    if payload._handle.readable() and not hasattr(payload._handle, "getvalue"):
        with file.open("r+b") as writer:
            if change == "shorter":
                writer.truncate(len(CONTENT) - 1)
            else:
                writer.seek(0 if change == "first byte" else len(CONTENT) - 1)
                writer.write(b"\x7f")
    else:
        changed = bytearray(CONTENT)
        changed[0 if change == "first byte" else -1] = 0x7F
        payload._handle.seek(0)
        payload._handle.write(changed)
    came = []

    async def read():
        async for piece in payload.chunks(100_000):
            came.append(piece)  # noqa: PERF401 - it ends with an error

    with pytest.raises(SourceChanged):
        anyio.run(read)
    assert len(came) == len(CONTENT) // 100_000


@pytest.mark.skipif(not hasattr(beneath.os, "RWF_NOWAIT"), reason="Linux tells what is in memory")
def test_what_is_in_memory_needs_no_thread(file, monkeypatch):
    payload = prepared(DirectorySource(file.parent)).payload
    monkeypatch.setattr(to_thread, "run_sync", None)

    assert b"".join(anyio.run(pieces, payload, 1000)) == CONTENT
    payload.close()


@pytest.mark.parametrize("content", [CONTENT, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("longer", [b"", b"!"], ids=["as announced", "longer"])
def test_a_message_takes_the_place_of_the_content(file, content, longer):
    file.write_bytes(content)
    whole = prepared(DirectorySource(file.parent), whole_limit=len(content))
    payload, start = whole.payload, envelope(whole.recording) + longer
    message = payload.framed(start)

    assert message == start + content
    assert payload.framed(start) is message
    assert payload._content is None
    payload.close()
    assert payload.framed(start) is None


def test_what_is_held_as_bytes_comes_in_pieces_as_well(file):
    payload = Payload(file.name, hashlib.sha256(CONTENT).digest(), len(CONTENT), None, CONTENT)
    assert b"".join(anyio.run(pieces, payload, 7000)) == CONTENT
    payload.close()


class Piecemeal(io.BytesIO):
    def readinto(self, buffer):
        with memoryview(buffer)[:1000] as part:
            return super().readinto(part)


class ReadsAlone:
    """A file of somebody's that has what ``ports.Source.open`` asks for and no more."""

    def __init__(self, content):
        self._file = io.BytesIO(content)
        self.read, self.seek, self.close = self._file.read, self._file.seek, self._file.close


@pytest.mark.parametrize("kind", [Piecemeal, ReadsAlone])
def test_any_handle_is_read_to_its_end(kind):
    entry = Entry("a.wav", len(HUGE), 0)
    for held in (HUGE, HUGE + b"more"):
        digest = hashlib.sha256()
        content = read_behind(5, kind(held), entry, digest.update)
        assert digest.digest() == hashlib.sha256(HUGE).digest()
        assert content.getvalue() == bytes(5) + HUGE
    with pytest.raises(SourceChanged):
        read_behind(5, kind(HUGE[:-1]), entry, digest.update)


def test_a_large_recording_is_never_in_memory_twice(file):
    file.write_bytes(LARGE)
    tracemalloc.start()
    try:
        whole = prepared(DirectorySource(file.parent), whole_limit=len(LARGE))
        message = whole.payload.framed(envelope(whole.recording))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert len(message) > len(LARGE)
    assert peak < 1.5 * len(LARGE)
    whole.close()


def test_what_is_streamed_has_no_message(file):
    payload = prepared(DirectorySource(file.parent), whole_limit=len(CONTENT) - 1).payload

    assert payload.framed(b"envelope") is None
    payload.close()
