"""A recording in pieces: those that were hashed, whether they come from a disk or from memory."""

import hashlib
import io
import tracemalloc
from contextlib import closing

import anyio
import pytest
from anyio import to_thread
from audio_makers import wav

from batch_uploader.core.errors import SourceChanged
from batch_uploader.core.model import Entry
from batch_uploader.host import beneath
from batch_uploader.prepare.pairing import Pair
from batch_uploader.prepare.payload import Payload, read_behind
from batch_uploader.prepare.prepare import Preparer, Rules, SidecarMode
from batch_uploader.sources.directory import DirectorySource
from batch_uploader.sources.memory import MemorySource

CONTENT = wav(20)
LARGE = wav(200)
HUGE = bytes(range(256)) * 10_000
RULES = Rules(sidecar=SidecarMode.OPTIONAL)


def front(recording):
    return b"front of " + recording.key.encode()


def prepared(source, whole_limit=0):
    entry = anyio.run(first_entry, source)
    material = Preparer(source, "conn", RULES).prepare(Pair(entry, None), whole_limit, front)
    assert isinstance(material, Payload)
    return material


async def first_entry(source):
    (listing,) = [each async for each in source.entries()]
    return listing.entries[0]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture(params=["cached", "not cached", "in memory"])
def material(request, file, monkeypatch):
    """Of a file that is in the page cache, of one that is not, and of none at all."""
    if request.param == "not cached":
        monkeypatch.delattr("os.RWF_NOWAIT", raising=False)
    source = DirectorySource(file.parent)
    with_file = request.param != "in memory"
    material = prepared(source if with_file else MemorySource({"a.wav": CONTENT}))
    yield material
    material.close()


async def pieces(material, size):
    return [piece async for piece in material.chunks(size)]


@pytest.mark.parametrize("size", [1000, len(CONTENT) - 1, len(CONTENT), 1 << 20])
def test_the_pieces_are_the_whole(material, size):
    for _ in range(2):
        found = anyio.run(pieces, material, size)
        assert b"".join(found) == CONTENT
        assert {len(piece) for piece in found[:-1]} <= {size}


@pytest.mark.parametrize("change", ["first byte", "last byte", "shorter"])
def test_the_last_piece_of_what_changed_is_held_back(material, file, change):
    """Fault 33."""
    if material._handle.readable() and not hasattr(material._handle, "getvalue"):
        with file.open("r+b") as writer:
            if change == "shorter":
                writer.truncate(len(CONTENT) - 1)
            else:
                writer.seek(0 if change == "first byte" else len(CONTENT) - 1)
                writer.write(b"\x7f")
    else:
        changed = bytearray(CONTENT)
        changed[0 if change == "first byte" else -1] = 0x7F
        material._handle.seek(0)
        material._handle.write(changed)
    came = []

    async def read():
        async for piece in material.chunks(100_000):
            came.append(piece)  # noqa: PERF401 - it ends with an error

    with pytest.raises(SourceChanged):
        anyio.run(read)
    assert len(came) == len(CONTENT) // 100_000


@pytest.mark.skipif(not hasattr(beneath.os, "RWF_NOWAIT"), reason="Linux tells what is in memory")
def test_what_is_in_memory_needs_no_thread(file, monkeypatch):
    material = prepared(DirectorySource(file.parent))
    monkeypatch.setattr(to_thread, "run_sync", None)

    assert b"".join(anyio.run(pieces, material, 1000)) == CONTENT
    material.close()


@pytest.mark.parametrize("content", [CONTENT, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("longer", [b"", b"!"], ids=["as announced", "longer"])
def test_a_message_takes_the_place_of_the_content(file, content, longer):
    file.write_bytes(content)
    material = prepared(DirectorySource(file.parent), whole_limit=len(content))
    start = front(material.recording) + longer
    message = material.message(start)

    assert message == start + content
    assert material.message(start) is message
    assert material._content is None
    material.close()
    assert material.message(start) is None


def test_what_is_held_as_bytes_comes_in_pieces_as_well(file):
    with closing(prepared(DirectorySource(file.parent))) as of_file:
        material = Payload(of_file.recording, None, CONTENT)
    assert b"".join(anyio.run(pieces, material, 7000)) == CONTENT
    material.close()


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
    digest, content = read_behind(5, kind(HUGE), entry)
    assert digest == hashlib.sha256(HUGE).digest()
    assert content.getvalue() == bytes(5) + HUGE
    assert read_behind(5, kind(HUGE + b"more"), entry)[0] == digest
    with pytest.raises(SourceChanged):
        read_behind(5, kind(HUGE[:-1]), entry)


def test_a_large_recording_is_never_in_memory_twice(file):
    file.write_bytes(LARGE)
    tracemalloc.start()
    try:
        material = prepared(DirectorySource(file.parent), whole_limit=len(LARGE))
        message = material.message(front(material.recording))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert len(message) > len(LARGE)
    assert peak < 1.5 * len(LARGE)
    material.close()


def test_what_is_streamed_has_no_message(file):
    material = prepared(DirectorySource(file.parent), whole_limit=len(CONTENT) - 1)

    assert material.message(b"front") is None
    material.close()
