"""The world that the protocol runs in: files, runs, a ledger, a wire that delays, a service.

Frozen values, and small changes of them: a changed world is another one.
"""

from dataclasses import dataclass, replace

from msgspec import structs

from batch_uploader.core.identity import Identity
from batch_uploader.core.model import (
    AudioInfo,
    Container,
    Fingerprint,
    Metadata,
    Recording,
    Version,
    recording_key,
)
from batch_uploader.core.records import Record
from batch_uploader.core.states import Status
from batch_uploader.ledgers.memory import _MemoryStore

STAMP = "upload_key"
_WAV = AudioInfo(Container.WAV, channels=2, sample_rate=8000, duration=1.0)
_MP3 = AudioInfo(Container.MP3, channels=2, sample_rate=8000, duration=1.0)

Content = tuple[str, str]
Sender = tuple[int, str]


@dataclass(frozen=True, slots=True, order=True)
class File:
    """A recording on disk: what is heard, when it changed, what the sidecar says, and when it did.

    ``tag`` is what its bytes have besides the audio, ``date`` and ``number`` what its default and
    its named ID are made of, none if empty. ``call`` is the call that it is in truth, which the
    program cannot see.
    """

    path: str
    audio: str
    mtime: int = 0
    about: str = ""
    touched: int = 0
    tag: str = ""
    date: str = "its own"
    number: str = ""
    call: str = ""

    @property
    def content(self) -> Content:
        """What makes it the same call as another one."""
        return (self.call, "") if self.call else (self.audio, self.about)

    @property
    def identity(self) -> Identity:
        """What is seen of it."""
        date = f"{self.content}" if self.date == "its own" else self.date
        return Identity(
            b"p" + _digest(self.audio)[:16],
            _digest(date)[:16] if date else b"",
            b"the code" + _digest(self.number)[:16] if self.number else b"",
        )

    def recording(self) -> Recording:
        """The recording that a run makes of it."""
        sha256, metadata = _digest(self.audio + self.tag), Metadata({"about": self.about})
        return Recording(
            connection_id="c",
            path=self.path,
            stat=Version(1, self.mtime, "sidecar", 1, self.touched),
            fingerprint=Fingerprint(sha256, metadata.digest()),
            metadata=metadata,
            audio=_MP3 if self.path.endswith("mp3") else _WAV,
            key=recording_key("c", self.path, sha256),
            identity=self.identity,
        )


@dataclass(frozen=True, slots=True)
class Ledger:
    """Everything on record: the current records by path, the superseded ones by age."""

    current: tuple[Record, ...] = ()
    history: tuple[Record, ...] = ()

    def store(self):
        """The real store, holding this."""
        store = _MemoryStore("c")
        for record in self.history:
            store.put(record)
            store.supersede(record.path)
        for record in self.current:
            store.put(record)
        store.sequence = max((*_places(store.history), *_places(self.current)), default=0)
        return store

    @classmethod
    def of(cls, store):
        """What a store holds, but for what nothing follows from.

        That are the words about failures, and of the places all but the order of those that are
        compared.
        """
        records = [_bare(record) for record in store.records()]
        history = [_bare(record) for record in store.history]
        places = sorted({0, *_places(records), *_places(history)})
        records, history = ([_ranked(each, places) for each in some] for some in (records, history))
        return cls(tuple(sorted(records, key=lambda record: record.path)), tuple(history))

    def at(self, path):
        """The current record of a path."""
        return next((record for record in self.current if record.path == path), None)


@dataclass(frozen=True, slots=True, order=True)
class Worker:
    """One recording in a run. ``attempts`` were made; ``waiting`` for the answer to the last."""

    file: File
    claimed: bool = False
    attempts: int = 0
    waiting: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Run:
    """A process that is alive; a worker that has finished is none any more.

    ``judged``: it has compared again what may be calls on record, and sends what is free.
    """

    number: int
    workers: tuple[Worker, ...]
    judged: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Message:
    """A recording that left and of which nobody knows yet whether it will be stored."""

    key: str
    content: Content
    sender: Sender


@dataclass(frozen=True, slots=True, order=True)
class Talk:
    """A recording at the service; ``found`` once Search sees it.

    ``late``: it was stored when its recording was in doubt already.
    """

    talk_id: str
    key: str
    content: Content
    sender: Sender
    found: bool = False
    late: bool = False


@dataclass(frozen=True, slots=True)
class World:
    """All there is. ``disk`` is what of the ledger a crash leaves, ``seen`` what runs see of it.

    ``files`` are on disk now, ``edits`` what they will become, one after another. ``bug`` is what
    the ledger said when it refused an ending.
    """

    files: tuple[File, ...]
    edits: tuple[tuple[File, ...], ...] = ()
    seen: Ledger = Ledger()
    disk: Ledger = Ledger()
    runs: tuple[Run, ...] = ()
    starts: int = 0
    wire: tuple[Message, ...] = ()
    talks: tuple[Talk, ...] = ()
    bug: str | None = None


def written(world: World, ledger: Ledger) -> World:
    return replace(world, seen=ledger, disk=ledger)


def stored(world: World, message: Message) -> World:
    late = any(
        record.key == message.key and record.status is Status.IN_DOUBT
        for record in world.seen.current
    )
    name = f"t{len(world.talks)}"
    talk = Talk(name, message.key, message.content, message.sender, late=late)
    return replace(
        world, wire=removed(world.wire, message), talks=tuple(sorted((*world.talks, talk)))
    )


def sender_of(run: Run, worker: Worker) -> Sender:
    return run.number, worker.file.path


def with_worker(world: World, run: Run, worker: Worker, after: Worker) -> World:
    changed = replace(run, workers=replaced(run.workers, worker, after))
    return replace(world, runs=replaced(world.runs, run, changed))


def without_run(world: World, run: Run) -> World:
    return replace(world, runs=removed(world.runs, run))


def removed(items, item):
    index = items.index(item)
    return items[:index] + items[index + 1 :]


def replaced(items, item, other):
    index = items.index(item)
    return (*items[:index], other, *items[index + 1 :])


def _bare(record):
    canary = record.answered_seq is not None
    return structs.replace(
        record,
        failure=None,
        claimed_seq=record.claimed_seq if canary or record.status is Status.CLAIMED else None,
        answered_seq=0 if canary else None,
    )


def _places(records):
    places = (place for record in records for place in (record.claimed_seq, record.doubt_seq))
    return [place for place in places if place is not None]


def _ranked(record, places):
    def rank(place):
        return None if place is None else places.index(place)

    return structs.replace(
        record, claimed_seq=rank(record.claimed_seq), doubt_seq=rank(record.doubt_seq)
    )


def _digest(audio: str) -> bytes:
    return audio.encode().ljust(32, b".")
