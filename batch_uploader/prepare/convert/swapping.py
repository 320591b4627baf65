"""Puts the channels of a stereo recording on the other sides: PCM without loss, others decoded."""

from contextlib import ExitStack
from typing import BinaryIO, Final

from msgspec.structs import replace

from batch_uploader.core.model import AudioInfo, Container, Defect, Entry, Sent
from batch_uploader.core.text import plural
from batch_uploader.prepare import audio
from batch_uploader.prepare.audio import AudioRules, DefectKind
from batch_uploader.prepare.convert import Conversion, Converted, may_shrink, undecodable
from batch_uploader.prepare.convert.decoding import Undecodable
from batch_uploader.prepare.convert.spool import SpaceFor, Spool, little_space, wav_size
from batch_uploader.prepare.convert.tracks import Track

_SIDES: Final = 2


def swap(
    handle: BinaryIO,
    entry: Entry,
    found: AudioInfo | Conversion,
    rules: AudioRules,
    space_for: SpaceFor = little_space,
) -> Converted | Defect:
    """What becomes of an open file of two channels, as ``examine`` found it.

    Identity and digests are those that it has as it is. Blocking. Raises OSError, SourceChanged if
    the file is shorter than it was listed, and SourceError if there is no space for what is made.
    """
    shows_end = (found.info if isinstance(found, Conversion) else found).shows_end
    with ExitStack() as stack:
        try:
            with Track(handle, entry, found) as track:
                if track.channels != _SIDES:
                    return _not_stereo(entry.path, track.channels)
                info = AudioInfo(Container.WAV, track.channels, track.sample_rate, 0)
                shrinks = may_shrink(info, rules)
                known = track.seconds is not None and not shrinks
                expected = wav_size(info, track.seconds or 0) if known else 0
                space = space_for(expected)
                spool = Spool(entry.path, info, shrinks=shrinks, expected=expected, space=space)
                stack.enter_context(spool)
                with spool.keeping() as keep:
                    for block in track.samples():
                        keep(swapped_sides(block))
                if (defect := track.defect()) is not None:
                    return defect
        except Undecodable as error:
            return undecodable(entry, error)
        digests = track.digests()
        made = audio.probe(spool.finish(), entry.path, spool.size, rules)
        if isinstance(digests, Defect):
            return digests
        if isinstance(made, Defect):
            return made
        sent = Sent(made.container, spool.size, spool.digest(), track.codec)
        return Converted(sent, replace(made, shows_end=shows_end), *digests, *spool.take())


def _not_stereo(path: str, channels: int) -> Defect:
    return Defect(
        path,
        DefectKind.CHANNELS.value,
        f"it has {plural(channels, 'channel')}, and only 2 can be swapped",
        "send it to a connection for one channel, or exclude it",
    )


def swapped_sides(block: bytes) -> bytes:
    """Stereo samples with their channels swapped."""
    import numpy as np

    return np.frombuffer(block, "<i2").reshape(-1, _SIDES)[:, ::-1].tobytes()
