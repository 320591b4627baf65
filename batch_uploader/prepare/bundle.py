"""A recording as a source lists it: its parts, and the files that describe it."""

from enum import StrEnum

from msgspec import Struct

from batch_uploader.core.model import Entry, Version
from batch_uploader.core.naming import base_name


class BundleKind(StrEnum):
    """What a bundle is a recording of."""

    AUDIO = "audio"
    """A call as audio."""


class Bundle(Struct, frozen=True):
    """The listed files of one recording.

    ``audio`` is what names it: a file, or a call whose legs are its parts. ``about`` are the files
    that describe it, the one that describes nothing else first. ``about_version`` is a digest of
    all but that one that describes it, such as the row of a table; None without any. ``mix`` is the
    recording beside it of which it seems to be one side, None for any other.
    """

    kind: BundleKind
    audio: Entry
    about: tuple[Entry, ...] = ()
    about_version: bytes | None = None
    mix: str | None = None

    @property
    def parts(self) -> tuple[Entry, ...]:
        """The files of audio that it is made of."""
        return self.audio.parts or (self.audio,)

    @property
    def path(self) -> str:
        """The recording's path."""
        return self.audio.path

    @property
    def sidecar(self) -> Entry | None:
        """The file that describes this recording alone, if there is one."""
        return self.about[0] if self.about else None


def bundle_of(audio: Entry, sidecar: Entry | None = None, mix: str | None = None) -> Bundle:
    """The bundle of one file of audio and its sidecar, if it has one."""
    return Bundle(BundleKind.AUDIO, audio, () if sidecar is None else (sidecar,), mix=mix)


def version_of(bundle: Bundle) -> Version:
    """What the ledger compares, without opening a file."""
    audio, sidecar = bundle.audio, bundle.sidecar
    if sidecar is None:
        return Version(
            audio.size,
            audio.mtime_ns,
            ctime_ns=audio.ctime_ns,
            inode=audio.inode,
            about=bundle.about_version,
        )
    return Version(
        audio.size,
        audio.mtime_ns,
        base_name(sidecar.path),
        sidecar.size,
        sidecar.mtime_ns,
        audio.ctime_ns,
        audio.inode,
        sidecar.ctime_ns,
        sidecar.inode,
        bundle.about_version,
    )
