"""Recordings and outcomes for the tests of the ledgers."""

import hashlib

from batch_uploader.core.identity import Identity
from batch_uploader.core.model import (
    AudioInfo,
    Container,
    Failure,
    Fingerprint,
    Metadata,
    Outcome,
    Recording,
    Version,
    recording_key,
)
from batch_uploader.core.states import Status

CONNECTION = "connection-1"
AUDIO = AudioInfo(Container.WAV, channels=2, sample_rate=8000, duration=12.34)


def stat(mtime_ns=1_700_000_000_000_000_000, size=1000, sidecar="the sidecar"):
    return Version(size, mtime_ns, sidecar, 20, mtime_ns)


def identity(audio, metadata):
    """That of a call of its own: other audio or metadata make another one."""
    digest = hashlib.blake2b(f"{audio} {metadata}".encode(), digest_size=16).digest()
    return Identity(b"p" + audio.encode().ljust(16, b".")[-16:], digest)


def recording(
    path, audio="A", metadata="m", *, connection_id=CONNECTION, seen=None, ids=None, info=AUDIO
):
    """``audio`` and ``metadata`` stand for the content; ``seen`` is the stat."""
    sha256 = audio.encode().ljust(32, b".")
    fields = Metadata({"about": metadata})
    return Recording(
        connection_id=connection_id,
        path=path,
        stat=stat() if seen is None else seen,
        fingerprint=Fingerprint(sha256, fields.digest()),
        metadata=fields,
        audio=info,
        key=recording_key(connection_id, path, sha256),
        identity=identity(audio, metadata) if ids is None else ids,
    )


def uploaded(path, talk_id="talk-1", *, attempts=1, seen=None):
    return Outcome(
        path, Status.UPLOADED, stat() if seen is None else seen, attempts=attempts, talk_id=talk_id
    )


def ended(path, status, *, attempts=0, seen=None, code="CODE", duplicate_of=None):
    """An outcome without a talk."""
    return Outcome(
        path,
        status,
        stat() if seen is None else seen,
        attempts=attempts,
        failure=Failure(code, f"why {path} is {status}", "request-1"),
        duplicate_of=duplicate_of,
    )
