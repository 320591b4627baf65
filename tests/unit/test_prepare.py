"""A small recording made ready without a thread: as with one, never where that might wait."""

import hashlib
import io
import os
import shutil
import sys
import tempfile
import uuid
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from support import audio_makers as make
from support.audio_samples import SEEDS, mutants
from support.engine_harness import CountsOpening

from batch_uploader.app.preparing import preparer_of
from batch_uploader.app.uploader import Uploader
from batch_uploader.core.errors import ConfigError, SourceChanged, SourceError
from batch_uploader.core.events import Comparison
from batch_uploader.core.model import Defect, Entry, recording_key
from batch_uploader.core.records import Record
from batch_uploader.core.states import Status
from batch_uploader.host import beneath
from batch_uploader.ledgers.memory import MemoryLedger
from batch_uploader.prepare import audio, prepare, reading, rules, sidecar
from batch_uploader.prepare.audio import AudioRules, RawFormat, essence
from batch_uploader.prepare.bundle import bundle_of, version_of
from batch_uploader.prepare.callid import CallIds
from batch_uploader.prepare.comparing import Comparer
from batch_uploader.prepare.prepare import Prepared
from batch_uploader.prepare.rules import Rules, SidecarMode
from batch_uploader.prepare.sidecar import SIZE_LIMIT, Kind, Schema
from batch_uploader.prepare.sidecar.schema import FieldType
from batch_uploader.run.options import RunOptions
from batch_uploader.sinks.memory import MemorySink
from batch_uploader.sources import directory
from batch_uploader.sources.directory import DirectorySource

LIMIT = 1 << 24
SIDECARS = [
    b'{"operator": "Anna", "n": 7}',
    b'{"fields": {"n": 1.50}, "users": [{"id": "7", "role": "operator"}]}',
    "\ufeff{}".encode(),
    b'{"n": 1, "n": 2, "": null}',
    b'{"n": "\\ud800"}',
    b"no JSON",
    b'{"n": "' + bytes(5000) + b'"}',
    None,
]


def tells_what_is_in_memory():
    with tempfile.TemporaryFile() as file:
        return beneath.tells_cached(file.fileno())


needs_telling = pytest.mark.skipif(
    not tells_what_is_in_memory(), reason="this file system does not tell what is in memory"
)


class CountingDirectory(CountsOpening, DirectorySource):
    pass


def put(folder, content, text=b"{}", name="a"):
    """A recording with its sidecar, as a listing has them."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{name}.wav", folder / f"{name}.json"]
    for path, data in zip(paths, (content, text), strict=True):
        path.unlink(missing_ok=True)
        if data is not None:
            path.write_bytes(data)
    return bundle_of(*(listed(path) if path.exists() else None for path in paths))


def listed(path, *, name=None):
    status = path.stat()
    return Entry(name or path.name, status.st_size, status.st_mtime_ns)


def preparer(root, mode=SidecarMode.OPTIONAL):
    return preparer_of(DirectorySource(root), "conn", Rules(sidecar=mode))


def no_envelope(_recording):
    return b""


def result(prepared):
    """What can be compared."""
    if not isinstance(prepared, Prepared):
        return prepared
    content = prepared.payload.framed(b"")
    prepared.close()
    return prepared.recording, content


def open_descriptors():
    return len(list(Path("/dev/fd").iterdir()))


def evict(path):
    """Have a file taken out of the page cache; the system may be slow to do it."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def test_a_key_is_a_uuid_of_version_5():
    namespace = uuid.UUID("6f1f7d3e-7d0b-5c0e-9f5b-2b6d7c1f4a10")
    for number in range(100):
        digest = bytes([number]) * 32
        name = f'["conn", "\\u0439/{number}.wav", "{digest.hex()}"]'
        key = recording_key("conn", f"й/{number}.wav", digest)
        assert key == str(uuid.uuid5(namespace, name))


RULES = [
    Rules,
    lambda: Rules(audio=AudioRules(1, RawFormat(8000, 2), 600.5)),
    lambda: Rules(Schema(defaults={"language": "ru"})),
    lambda: Rules(Schema(types={"n": FieldType.NUMBER})),
    lambda: Rules(Schema(declared=frozenset({"a"}))),
    lambda: Rules(Schema(stamp_field="k")),
    lambda: Rules(Schema.for_kind(Kind.TWO_CHANNEL)),
    lambda: Rules(sidecar=SidecarMode.OPTIONAL),
    lambda: Rules(call_ids=CallIds(frozenset({"a"}))),
    lambda: Rules(call_ids=CallIds(default=False)),
]


def test_the_digest_of_rules_is_that_of_what_they_say(monkeypatch):
    """Fault 102: and of the version, since an older one may have been wrong."""
    digests = [make().digest() for make in RULES]
    assert digests == [make().digest() for make in RULES]
    monkeypatch.setattr(rules, "__version__", "0.0.9")
    assert len({*digests, *(make().digest() for make in RULES)}) == 2 * len(RULES)


@pytest.mark.parametrize(
    "schema", [Schema(declared=frozenset({"call"})), Schema(stamp_field="cal")]
)
def test_a_call_id_of_a_field_that_no_sidecar_may_have_is_refused(schema):
    with pytest.raises(ConfigError, match="'cal'"):
        Rules(schema, call_ids=CallIds(frozenset({"cal"})))


@pytest.mark.parametrize("seconds", [1, 20])
def test_a_recording_has_the_ids_of_its_sidecar(tmp_path, seconds):
    text = b'{"date": "2025-04-24T14:34:19+03:00", "operator_id": 7, "client_id": "8"}'
    pair = put(tmp_path, make.wav(seconds), text)
    ids = CallIds(frozenset({"client_id"}))
    looker = preparer_of(DirectorySource(tmp_path), "connection", Rules(call_ids=ids))
    with closing(looker.prepare(pair, LIMIT, no_envelope)) as prepared:
        found, metadata = prepared.recording.identity, prepared.recording.metadata
    assert found.default_id == ids.default_id(metadata) != b""
    assert found.named_id == ids.named_id(metadata) != b""


@pytest.mark.parametrize("kind", [make.wav, make.mp3, make.opus])
def test_each_way_to_read_a_recording_makes_the_same_essence(tmp_path, monkeypatch, kind):
    content = kind(3)
    pair, looker = put(tmp_path, content), preparer(tmp_path)
    ways = [looker.prepare_cached(pair, LIMIT), looker.prepare(pair, LIMIT, no_envelope)]
    monkeypatch.setattr(prepare, "_AT_ONCE", 0)
    monkeypatch.setattr(reading, "_HASH_STEP", 1001)
    ways += [looker.prepare(pair, limit, no_envelope) for limit in (LIMIT, 0)]
    recordings = [prepared.recording for prepared in ways if prepared]
    for prepared in filter(None, ways):
        prepared.close()
    expected = essence.begin(io.BytesIO(content), len(content), recordings[0].audio)
    expected.update(content)
    assert {recording.identity.essence for recording in recordings} == {expected.digest()}


def test_the_digest_is_another_than_that_of_the_first_version():
    """Fault 102: its rules had no version."""
    first = "8ea1aa05d1ec543610884ed8e73f7db75cf460c536acd75a4fa9bac80a5049b0"
    assert Rules().digest().hex() != first


@needs_telling
@pytest.mark.parametrize("mode", SidecarMode)
@pytest.mark.parametrize("text", SIDECARS)
def test_what_comes_out_is_the_same_as_with_a_thread(tmp_path, text, mode):
    looker = preparer(tmp_path, mode)
    seen = set()
    for content in [*SEEDS, b"", b"raw" * 50, make.wav(data_size=1 << 20), make.wav()[:-10]]:
        pair = put(tmp_path, content, text)
        expected = result(looker.prepare(pair, LIMIT, no_envelope))
        cached = result(looker.prepare_cached(pair, LIMIT))
        if cached is None:
            # Either libsndfile has to name it, or the sidecar takes its time to be read.
            assert isinstance(expected[0], Defect)
        else:
            assert cached == expected
        seen.add(type(cached[0]) if cached else None)
    long = text is not None and len(text) > 4096
    assert (seen == {None}) is long
    assert long or None in seen, "some of them only libsndfile can name"


@needs_telling
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=mutants())
def test_any_content_comes_out_the_same(tmp_path, content):
    looker = preparer(tmp_path)
    pair = put(tmp_path, content, None)
    expected = result(looker.prepare(pair, LIMIT, no_envelope))

    assert result(looker.prepare_cached(pair, LIMIT)) in (expected, None)


@needs_telling
def test_a_large_recording_and_one_to_be_streamed_go_by_the_thread(tmp_path):
    looker = preparer(tmp_path)
    small, large = put(tmp_path, make.wav(1)), put(tmp_path, make.wav(20), name="large")
    looker.prepare(small, LIMIT, no_envelope).close()

    assert looker.prepare_cached(large, LIMIT) is None
    assert looker.prepare_cached(small, small.audio.size - 1) is None
    assert isinstance(looker.prepare_cached(small, small.audio.size), Prepared)


def test_nothing_is_taken_before_a_thread_has_opened_a_file(tmp_path):
    """A path may lead across a share that hangs."""
    looker = preparer(tmp_path)
    pair = put(tmp_path, make.wav())

    assert looker.prepare_cached(pair, LIMIT) is None


@pytest.mark.skipif(sys.platform != "linux", reason="others have no such file system")
def test_a_file_system_that_does_not_tell_what_is_in_memory_is_left_to_the_thread(monkeypatch):
    source = DirectorySource(Path("/proc/sys/kernel/random"), include=["boot_id"])
    with source.open("boot_id") as handle:
        assert handle.read()
        assert not beneath.tells_cached(handle.fileno())
    monkeypatch.setattr(beneath.os, "open", None)

    assert source.read_if_cached(Entry("boot_id", 0, 0)) is None


@needs_telling
@pytest.mark.parametrize("lacking", ["audio", "sidecar"])
def test_what_is_not_in_memory_goes_by_the_thread(tmp_path, lacking):
    looker = preparer(tmp_path)
    pair = put(tmp_path, make.wav(1), b'{"n": 1}')
    looker.prepare(pair, LIMIT, no_envelope).close()
    for _ in range(100):
        evict(tmp_path / getattr(pair, lacking).path)
        if looker.prepare_cached(pair, LIMIT) is None:
            break
    else:
        pytest.fail("it was there each time")
    expected = result(looker.prepare(pair, LIMIT, no_envelope))
    assert result(looker.prepare_cached(pair, LIMIT)) == expected


@needs_telling
@pytest.mark.parametrize("change", ["grows", "shrinks", "touched", "gone", "link", "pipe"])
@pytest.mark.parametrize("which", ["audio", "sidecar"])
def test_what_is_not_as_it_was_listed_is_left_to_the_thread(tmp_path, which, change):
    """Faults 32, 33, 35, 37, 38."""
    looker = preparer(tmp_path / "root")
    pair = put(tmp_path / "root", make.wav(1), b'{"n": 1}')
    looker.prepare(pair, LIMIT, no_envelope).close()
    entry = getattr(pair, which)
    file = tmp_path / "root" / entry.path
    content = file.read_bytes()
    match change:
        case "grows":
            file.write_bytes(content + b" ")
            os.utime(file, ns=(entry.mtime_ns, entry.mtime_ns))
        case "shrinks":
            file.write_bytes(content[:-1])
            os.utime(file, ns=(entry.mtime_ns, entry.mtime_ns))
        case "touched":
            os.utime(file, ns=(entry.mtime_ns + 1, entry.mtime_ns + 1))
        case "gone":
            file.unlink()
        case "link":
            # To the very file: nothing but the link tells.
            file.rename(tmp_path / "elsewhere")
            file.symlink_to(tmp_path / "elsewhere")
        case "pipe":
            file.unlink()
            os.mkfifo(file)

    assert looker.prepare_cached(pair, LIMIT) is None
    with pytest.raises((SourceChanged, SourceError)):
        looker.prepare(pair, LIMIT, no_envelope)


class Racing(DirectorySource):
    """Somebody replaces files as soon as the first of them is open."""

    def open(self, path):
        handle = super().open(path)
        while self.replaced:
            new, old = self.replaced.pop(0)
            new.replace(old)
        return handle


@pytest.mark.parametrize("which", [["wav", "json"], ["json", "wav"], ["wav"], ["json"]])
@pytest.mark.parametrize("seconds", [1, 20])
@pytest.mark.parametrize("as_old", [False, True])
def test_the_audio_of_one_call_never_goes_with_the_sidecar_of_another(
    tmp_path, which, seconds, as_old
):
    """Faults 33, 34, 94: a pair that is replaced under the reader, perhaps with the same times."""
    root = tmp_path / "root"
    pair = put(root, make.wav(seconds), b'{"n": "old"}')
    put(tmp_path / "new", make.wav(seconds)[:-1] + b"N", b'{"n": "new"}')
    for kind in ("wav", "json") if as_old else ():
        shutil.copystat(root / f"a.{kind}", tmp_path / "new" / f"a.{kind}")
    source = Racing(root)
    source.replaced = [(tmp_path / "new" / f"a.{kind}", root / f"a.{kind}") for kind in which]
    looker = preparer_of(source, "connection", Rules())
    try:
        prepared = looker.prepare(pair, LIMIT, no_envelope)
    except SourceChanged:
        return
    with closing(prepared):
        old = looker.rules.schema
        assert prepared.recording.metadata == sidecar.parse(b'{"n": "old"}', "a.json", old)
        digest = hashlib.sha256(make.wav(seconds)).digest()
        assert prepared.recording.fingerprint.sha256 == digest


class InSeconds(DirectorySource):
    """Names tell other times than open files do."""

    def stat(self, path):
        seen = super().stat(path)
        return seen._replace(mtime_ns=seen.mtime_ns - self.apart)


@pytest.mark.parametrize("seconds", [1, 20])
@pytest.mark.parametrize("apart", [123_456_789, -2_000_000_000, 3600 * 10**9])
def test_times_that_a_handle_tells_otherwise_are_no_change(tmp_path, seconds, apart):
    """Fault 110: GlusterFS, SMB and FAT round, and the copies of a file have times of their own."""
    put(tmp_path, make.wav(seconds), b"{}")
    source = InSeconds(tmp_path)
    source.apart = apart
    pair = bundle_of(source.stat("a.wav"), source.stat("a.json"))
    looker = preparer_of(source, "connection", Rules())
    with closing(looker.prepare(pair, LIMIT, no_envelope)) as prepared:
        assert prepared.recording.stat.mtime_ns == pair.audio.mtime_ns
    known = Record("connection", "a.wav", Status.UPLOADED, version_of(pair), sha256=b"other")
    touched = pair.audio._replace(ctime_ns=7)
    found, _ = Comparer(looker).compare(bundle_of(touched, pair.sidecar), known)
    assert found is Comparison.CHANGED


@pytest.mark.parametrize("seconds", [1, 20])
@pytest.mark.parametrize("written", [b"N", b"NN"])
def test_a_change_is_one_also_where_a_handle_tells_other_times(tmp_path, seconds, written):
    """Faults 33, 110."""
    pair = put(tmp_path, make.wav(seconds), b"{}")
    rounded = pair.audio._replace(mtime_ns=pair.audio.mtime_ns - 123_456_789)
    file = tmp_path / "a.wav"
    file.write_bytes(make.wav(seconds)[:-1] + written)
    os.utime(file, ns=(pair.audio.mtime_ns + 5 * 10**9,) * 2)
    source = InSeconds(tmp_path)
    source.apart = 123_456_789
    with pytest.raises(SourceChanged):
        preparer_of(source, "connection", Rules()).prepare(
            bundle_of(rounded, None), LIMIT, no_envelope
        )


class Rewriting(DirectorySource):
    """Somebody writes into an open file, and sets its time back."""

    looks = 0

    def handle_stat(self, handle, path):
        seen = super().handle_stat(handle, path)
        self.looks += 1
        if self.looks == self.after:
            file = self.root / path
            file.write_bytes(self.content)
            os.utime(file, ns=(seen.mtime_ns, seen.mtime_ns))
        return seen


@pytest.mark.parametrize("seconds", [1, 20])
def test_what_is_written_into_while_it_is_read_is_no_recording(tmp_path, seconds):
    """Faults 33, 94: half of it may be of the old one, whatever its size and time say then."""
    pair = put(tmp_path, make.wav(seconds), b"{}")
    source = Rewriting(tmp_path)
    source.root, source.content, source.after = tmp_path, make.wav(seconds)[:-1] + b"N", 1
    looker = preparer_of(source, "connection", Rules())
    with pytest.raises(SourceChanged):
        looker.prepare(pair, LIMIT, no_envelope)
    looker.prepare(pair, LIMIT, no_envelope).close()


@needs_telling
def test_a_folder_that_became_a_link_is_not_followed(tmp_path):
    """Fault 38."""
    root = tmp_path / "root"
    root.mkdir()
    put(root / "f", b"what was listed")
    put(tmp_path / "outside", b"secret content!")
    source = DirectorySource(root)
    source.open("f/a.wav").close()
    entry = source.stat("f/a.wav")
    (root / "f").rename(root / "g")
    (root / "f").symlink_to(tmp_path / "outside", target_is_directory=True)
    os.utime(tmp_path / "outside" / "a.wav", ns=(entry.mtime_ns, entry.mtime_ns))

    assert source.read_if_cached(entry) is None
    with pytest.raises(SourceError, match="link"):
        source.open("f/a.wav")


@needs_telling
def test_nothing_is_taken_from_a_folder_that_was_moved_away(tmp_path):
    """Fault 35: what is in its place by then is another recording."""
    put(tmp_path / "f", b"what was listed")
    source = DirectorySource(tmp_path)
    source.open("f/a.wav").close()
    entry = source.stat("f/a.wav")
    assert source.read_if_cached(entry) == b"what was listed"

    (tmp_path / "f").rename(tmp_path / "g")
    assert source.read_if_cached(entry) is None
    put(tmp_path / "f", b"what came later")
    os.utime(tmp_path / "f" / "a.wav", ns=(entry.mtime_ns, entry.mtime_ns))
    assert source.read_if_cached(entry) == b"what came later"


@needs_telling
def test_glances_that_take_long_are_left_be_for_a_minute(tmp_path, monkeypatch):
    put(tmp_path, b"content")
    source = DirectorySource(tmp_path)
    source.open("a.wav").close()
    entry = source.stat("a.wav")
    ticks = iter(range(1000))
    seconds = [0.01]
    monkeypatch.setattr(directory.time, "monotonic", lambda: next(ticks) * seconds[0])

    assert [source.read_if_cached(entry) is None for _ in range(5)] == [False] * 3 + [True] * 2
    seconds[0] = 100.0
    assert source.read_if_cached(entry) == b"content"


@needs_telling
def test_a_glance_leaves_nothing_open(tmp_path):
    put(tmp_path / "f", b"content")
    entry = listed(tmp_path / "f" / "a.wav", name="f/a.wav")
    source = DirectorySource(tmp_path)
    assert source.read_if_cached(entry) is None
    source.open(entry.path).close()
    before = open_descriptors()
    assert source.read_if_cached(entry) == b"content"
    assert source.read_if_cached(entry._replace(size=3)) is None
    assert source.read_if_cached(entry._replace(path="f/b.wav")) is None
    assert source.read_if_cached(entry._replace(path="g/a.wav")) is None
    assert open_descriptors() == before


@needs_telling
def test_a_run_needs_a_thread_for_its_first_recording_alone(tmp_path):
    for number in range(8):
        put(tmp_path, make.wav(1 + number / 8000), name=str(number))
    source, sink = CountingDirectory(tmp_path), MemorySink()

    async def run():
        options = RunOptions(concurrency=1, min_age=0, min_age_open=0, sidecar_wait=0)
        ledger = MemoryLedger("conn")
        async with Uploader(source=source, sink=sink, ledger=ledger, options=options) as uploader:
            return await uploader.run()

    assert anyio.run(run).counts == {Status.UPLOADED: 8}
    assert sorted(source.opened.values()) == [1, 1]


def test_what_needs_libsndfile_is_said_at_once():
    data = make.encoded("WAV", "GSM610", seconds=0.1)
    with pytest.raises(audio.TakesLonger):
        audio.probe(make.Handle(data), "a.wav", len(data), audio.AudioRules(), at_once=True)


def test_a_sidecar_that_grew_since_it_was_listed_is_read_to_its_end(tmp_path):
    looker = preparer(tmp_path)
    pair = put(tmp_path, make.wav(1), b"{}")
    for text in (b'{"n": "longer than it was"}', b"{}", b'{"n": "' + bytes(SIZE_LIMIT) + b'"}'):
        (tmp_path / "a.json").write_bytes(text)
        for size in (0, 2, len(text) - 1, len(text), len(text) + 1):
            old = bundle_of(pair.audio, pair.sidecar._replace(size=size))
            assert looker.describer.describe(old) == sidecar.parse(
                text, "a.json", looker.rules.schema
            )
