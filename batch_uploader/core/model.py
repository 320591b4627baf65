"""The values that flow through a run: frozen, comparable, independent of any library but msgspec.

Sizes are bytes, durations seconds, times on the wall clock are UTC nanoseconds since the epoch. A
path names a recording everywhere (ledger, manifest, log, screen): relative to the source's root,
with ``/`` between the parts, always valid Unicode.
"""

import hashlib
import json
import uuid
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from msgspec import Struct, field

from batch_uploader.core.identity import Cause, Identity
from batch_uploader.core.parts import Part
from batch_uploader.core.states import NEEDS_ATTENTION, POSSIBLE, Status

_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":"))
_KEY_NAMESPACE = uuid.UUID("6f1f7d3e-7d0b-5c0e-9f5b-2b6d7c1f4a10")


SIDECAR_MISSING: Final = "sidecar-missing"
ORPHAN_SIDECAR: Final = "orphan-sidecar"
ROW_MISSING: Final = "row-missing"
LEG_MISSING: Final = "leg-missing"
_COUNTERPARTS: Final = frozenset({SIDECAR_MISSING, ORPHAN_SIDECAR, ROW_MISSING})


class Timestamp(Struct, frozen=True, forbid_unknown_fields=True):
    """A moment by two clocks, since the wall clock can be set and the other ends with a reboot.

    ``wall_ns`` is UTC. ``boot`` is the ID of one boot of one machine and ``boot_ns`` the time
    since, which cannot be set; both are None where the system has none.
    """

    wall_ns: int
    boot: str | None = None
    boot_ns: int | None = None


class Cut(NamedTuple):
    """One of the ``total`` pieces of a long file, from ``begin`` to ``end`` in samples."""

    number: int
    total: int
    begin: int
    end: int
    sample_rate: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end - self.begin) / self.sample_rate


class Entry(NamedTuple):
    """A regular file that a source listed; a tuple for speed, since a run makes one for each file.

    ``ctime_ns`` is the time of the last change of any kind, which copying cannot set back. It and
    ``inode`` are None if the source has none.

    A call that has two legs is listed as one entry with these as its ``parts``: its size is that of
    both, its times are the latest, and its inode stands for all of that. ``mixes`` are the paths of
    files beside them that have both sides. ``lacks`` is the path of the leg that is missing; then
    the other one is the only part, or it is a mix itself, and has none.

    A piece of a long file has that as its only part, and its size and times; ``cut`` is the piece.
    """

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int | None = None
    inode: int | None = None
    parts: tuple["Entry", ...] = ()
    mixes: tuple[str, ...] = ()
    lacks: str | None = None
    cut: Cut | None = None

    def is_like(self, other: "Entry") -> bool:
        """Whether path, size and modification time are equal."""
        return self[:3] == other[:3]


class Listing(Struct, frozen=True):
    """The files of one folder of a source, without those of the folders below it.

    ``folder`` is ``""`` for the root. ``entries`` are unsorted. ``unreadable`` pairs a path in the
    folder (or the folder itself) with the reason why it cannot be read. ``others`` are the paths of
    files that are not taken by their names, without those that are excluded. ``mixes`` is how many
    files are left out for the legs of which they are the mix.
    """

    folder: str
    entries: tuple[Entry, ...]
    unreadable: tuple["Defect", ...] = ()
    others: tuple[str, ...] = ()
    mixes: int = 0


class Defect(Struct, frozen=True):
    """A problem that the user must fix before this recording can be uploaded.

    ``kind`` is a short stable word to group by (``sidecar-missing``), ``field`` the metadata field
    or header at fault, if any, ``cure`` says what to do. ``may_grow`` is for audio that does not
    show its end: it may still be being written.
    """

    path: str
    kind: str
    message: str
    cure: str
    field: str | None = None
    may_grow: bool = False

    @property
    def may_pass(self) -> bool:
        """Whether the file that is missing may come later."""
        return self.kind in _COUNTERPARTS

    def __str__(self) -> str:
        """The problem and its cure in one line, without the path."""
        where = f"{self.field}: " if self.field else ""
        return f"{where}{self.message}; {self.cure}"


class PassedOver(Struct, frozen=True):
    """Files of one kind that look like audio and are not taken.

    ``kind`` is their extension, ``""`` for names without one that tells; ``form`` is what is in
    them; ``first`` is the path of one of them. ``beside`` of the ``files`` have a recording of the
    same name beside them, which is taken. ``include`` is the pattern with which they are taken, as
    they are or converted, None if they cannot be; ``with_codecs`` if they would be with the extra
    for codecs. ``decoder`` are the options of ffmpeg to read them, None if these are not known.
    ``new``: the run before met none of this kind.
    """

    kind: str
    files: int
    beside: int
    form: str
    first: str
    include: str | None
    decoder: str | None
    with_codecs: bool = False
    new: bool = False


class Container(StrEnum):
    """The audio containers that the service accepts; the value is the manifest's ``format``."""

    WAV = "wav"
    OGG_OPUS = "ogg-opus"
    MP3 = "mp3"
    RAW = "raw"


class AudioInfo(Struct, frozen=True):
    """What is in an audio file, read from its content.

    ``shows_end``: the file itself shows that it is complete, by sizes that fit or by an end mark.
    """

    container: Container
    channels: int
    sample_rate: int
    duration: float
    shows_end: bool = True


class Role(StrEnum):
    """Who took part in a recording."""

    UNSPECIFIED = "unspecified"
    OPERATOR = "operator"
    CLIENT = "client"
    BOT = "bot"


class User(Struct, frozen=True):
    """A participant, in the full form of a sidecar."""

    id: str
    role: Role
    fields: Mapping[str, str] = field(default_factory=dict)


class Metadata(Struct, frozen=True):
    """The metadata of a recording: every value is the string that is sent.

    ``defaulted`` names the fields that came from the settings instead of the sidecar. ``ids`` are
    values that are not sent, but may tell one call from another: columns, parts of the name.
    """

    fields: Mapping[str, str]
    users: tuple[User, ...] = ()
    defaulted: frozenset[str] = frozenset()
    ids: Mapping[str, str] = field(default_factory=dict)

    def said(self, name: str) -> str:
        """The value of this name, sent or not; empty without one."""
        return (self.fields.get(name) or self.ids.get(name, "")).strip()

    def digest(self) -> bytes:
        """SHA-256 of the sidecar's fields, independent of their order.

        Without the defaults, so that changed settings do not make the same recording another call.
        """
        own = {name: text for name, text in self.fields.items() if name not in self.defaulted}
        form = {
            "fields": own,
            "users": [[user.id, user.role.value, dict(user.fields)] for user in self.users],
        }
        return hashlib.sha256(_CANONICAL.encode(form).encode("ascii")).digest()


UNKNOWN_MTIME: Final = -1
"""The manifest has no modification times; no file has this one, so each is inspected."""


class Version(Struct, frozen=True, forbid_unknown_fields=True):
    """What shows, without opening a file, that a recording is unchanged.

    ``sidecar`` is the name of the file that describes it alone. ``about`` is a digest of all else
    that describes it, None if nothing does. The four before that are as in ``Entry``: a different
    value is not yet a change, but a reason to compare; None, as in ledgers of older versions,
    equals any value.
    """

    size: int
    mtime_ns: int
    sidecar: str | None = None
    sidecar_size: int = 0
    sidecar_mtime_ns: int = 0
    ctime_ns: int | None = None
    inode: int | None = None
    sidecar_ctime_ns: int | None = None
    sidecar_inode: int | None = None
    about: bytes | None = None

    def is_like(self, other: "Version") -> bool:
        """Whether names, sizes, modification times and digests are equal."""
        return (
            self.size == other.size
            and self.mtime_ns == other.mtime_ns
            and self.is_described_like(other)
        )

    def is_described_like(self, other: "Version") -> bool:
        """Whether that is so of what describes the audio."""
        return (
            self.sidecar == other.sidecar
            and self.sidecar_size == other.sidecar_size
            and self.sidecar_mtime_ns == other.sidecar_mtime_ns
            and self.about == other.about
        )

    def described_as(self, other: "Version") -> "Version":
        """This audio, with what describes the other."""
        return Version(
            self.size,
            self.mtime_ns,
            other.sidecar,
            other.sidecar_size,
            other.sidecar_mtime_ns,
            self.ctime_ns,
            self.inode,
            other.sidecar_ctime_ns,
            other.sidecar_inode,
            other.about,
        )

    def lacks(self, other: "Version") -> bool:
        """Whether ``other``, for the same files, has a value where this has None."""
        return (
            (self.ctime_ns is None and other.ctime_ns is not None)
            or (self.inode is None and other.inode is not None)
            or (self.sidecar_ctime_ns is None and other.sidecar_ctime_ns is not None)
            or (self.sidecar_inode is None and other.sidecar_inode is not None)
        )


class Fingerprint(Struct, frozen=True):
    """The digests of a recording's content."""

    sha256: bytes
    metadata: bytes


class Sent(Struct, frozen=True):
    """What goes up instead of a file that the service refuses; ``codec`` is what the file has."""

    container: Container
    size: int
    sha256: bytes
    codec: str

    def as_json(self) -> str:
        """For the ledger and the manifest."""
        return json.dumps(
            {
                "format": self.container.value,
                "size": self.size,
                "sha256": self.sha256.hex(),
                "converted_from": self.codec,
            }
        )


class Recording(Struct, frozen=True):
    """An audio file with its metadata, inspected and hashed, ready to be claimed and sent.

    ``key`` is a UUIDv5 of connection, path and audio: the same for each attempt of each run.
    ``mix`` is the path of the recording of which it seems to be one side, None for any other.
    ``sent`` is what goes up if that is not the file itself; ``audio`` is of what goes up. ``parts``
    are the files that it is made of, if these are several.
    """

    connection_id: str
    path: str
    stat: Version
    fingerprint: Fingerprint
    metadata: Metadata
    audio: AudioInfo
    key: str
    identity: Identity = Identity()
    mix: str | None = None
    sent: Sent | None = None
    parts: tuple[Part, ...] = ()

    @property
    def nbytes(self) -> int:
        """The size of what goes up."""
        return self.stat.size if self.sent is None else self.sent.size


def recording_key(connection_id: str, path: str, sha256: bytes) -> str:
    """The key of a recording, sent in the stamp field and in the idempotency header."""
    name = json.dumps([connection_id, path, sha256.hex()], ensure_ascii=True)
    # As uuid.uuid5, in a third of the time: its object costs more than the hash.
    digest = hashlib.sha1(_KEY_NAMESPACE.bytes + name.encode(), usedforsecurity=False).digest()
    raw = bytearray(digest[:16])
    raw[6] = raw[6] & 0x0F | 0x50  # version 5
    raw[8] = raw[8] & 0x3F | 0x80  # of RFC 9562
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class Failure(Struct, frozen=True, forbid_unknown_fields=True):
    """Why a recording was not uploaded: a code to group by and a sentence.

    ``code`` is a gRPC status name, a defect's kind, or one of the tool's own words in capitals.
    ``request_id`` is the ID that the vendor's support asks for.
    """

    code: str
    message: str
    request_id: str | None = None


LEDGER_LOST = Failure(
    "LEDGER_LOST",
    "the ledger was lost, and it may have been uploaded after the manifest was written",
)

RESEND: Final = Failure("RESEND", "somebody decided to send it again with the next run")


class Receipt(Struct, frozen=True):
    """The service's answer to an upload: the talk, and the IDs that support asks for."""

    talk_id: str
    request_id: str | None = None


class Outcome(Struct, frozen=True, forbid_unknown_fields=True):
    """How one recording ended, for the ledger and for the listeners.

    ``cause`` is why it is a duplicate, or a possible one, of ``duplicate_of``.
    """

    path: str
    status: Status
    stat: Version
    attempts: int = 0
    talk_id: str | None = None
    failure: Failure | None = None
    duplicate_of: str | None = None
    duration: float | None = None
    container: Container | None = None
    cause: Cause | None = None

    @property
    def kind(self) -> str:
        """What groups what needs a human: the cause of a possible duplicate, or an error's code."""
        if self.status in POSSIBLE:
            return self.cause or ""
        return "" if self.failure is None else self.failure.code


class Ending(StrEnum):
    """Why a run ended."""

    COMPLETED = "completed"
    INTERRUPTED = "interrupted"
    UNAUTHORIZED = "unauthorized"
    UNREACHABLE = "unreachable"
    """No upload succeeded for ``max_outage``, or all of them ended in doubt."""
    LIMIT = "limit"


class Summary(Struct, frozen=True):
    """The counts of a run, and the first recordings that need a human.

    ``counts`` are the recordings settled or carried over by this run, by status. ``already_there``
    were uploaded before, ``waiting`` may not be complete yet (``waiting_for`` has their numbers
    by what they wait for, as a ``Wait``), ``outdated`` have a sidecar that changed after their
    talk was uploaded (the talk keeps the old metadata). ``uploaded_bytes`` and
    ``uploaded_duration``, in seconds of audio, count what this run uploaded. ``attention`` is
    cut to fit a screen; the ledger has all. ``to_compare`` of ``already_there`` have new change
    times or inodes, ``compared`` of these were compared by content, and ``changed`` of those
    hold different audio or metadata. ``converted`` of the duplicates are calls in another
    format. ``gone`` is how many recordings on record are gone, if these are more than half of
    them. ``left_out_by`` counts those that a filter left out, by filter, which are among
    ``counts``. ``passed_over`` are the files that look like audio and are not taken, by kind.
    ``reason`` says why the run ended like that, ``hints`` what to do about it.
    """

    ending: Ending
    counts: Mapping[Status, int]
    already_there: int
    waiting: int
    outdated: int
    uploaded_bytes: int
    uploaded_duration: float
    elapsed: float
    attention: tuple[Outcome, ...]
    reason: str | None = None
    hints: tuple[str, ...] = ()
    to_compare: int = 0
    compared: int = 0
    changed: int = 0
    converted: int = 0
    gone: int = 0
    left_out_by: Mapping[str, int] = field(default_factory=dict)
    passed_over: tuple[PassedOver, ...] = ()
    waiting_for: Mapping[str, int] = field(default_factory=dict)

    @property
    def found_nothing(self) -> bool:
        """Whether the source has no recordings at all, as when a share is not mounted."""
        seen = self.already_there + self.waiting + sum(self.counts.values())
        return self.ending is Ending.COMPLETED and not seen

    @property
    def only_waits(self) -> bool:
        """Whether all that there is waits for the next run."""
        return bool(self.waiting) and not self.already_there + sum(self.counts.values())

    @property
    def needs_attention(self) -> int:
        """How many recordings need a human."""
        return sum(self.counts.get(status, 0) for status in NEEDS_ATTENTION)
