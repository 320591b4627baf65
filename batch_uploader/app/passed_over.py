"""What people are told about files that look like audio and are not taken."""

import os
from collections.abc import Iterator, Sequence

from batch_uploader.core.errors import CommandHint
from batch_uploader.core.model import PassedOver
from batch_uploader.core.naming import stem
from batch_uploader.core.text import format_count, plural, printable, quote
from batch_uploader.prepare.convert.codecs import INSTALL
from batch_uploader.sources.names import path_parts

_MOST_KINDS = 4
_MOST_COMMANDS = 4


def summed_up(kinds: Sequence[PassedOver]) -> str:
    """The kinds with their numbers: the end of "files that look like audio are not taken: …"."""
    shown = ", ".join(map(_kind, kinds[:_MOST_KINDS]))
    if rest := sum(each.files for each in kinds[_MOST_KINDS:]):
        return f"{shown}, and {format_count(rest)} of other kinds"
    return shown


def looks_like_audio(kinds: Sequence[PassedOver]) -> str:
    """The whole sentence."""
    files = sum(each.files for each in kinds)
    verb = "looks like audio and is" if files == 1 else "look like audio and are"
    return f"{plural(files, 'file')} {verb} not taken: {summed_up(kinds)}"


def ways_to_take(kinds: Sequence[PassedOver], directory: str) -> Iterator[str]:
    """Hints: the flag or the command with which these can be sent.

    What lies beside a recording of the same name needs none: its call is taken.
    """
    left_out = [each for each in kinds if each.files > each.beside]
    patterns = [each.include for each in left_out if each.include]
    if patterns:
        flags = [word for each in patterns for word in ("--include", quote(each))]
        yield CommandHint(f"to take {', '.join(patterns)}", "upload", *flags)
    convertible = [each for each in left_out if each.decoder is not None]
    for each in convertible[:_MOST_COMMANDS]:
        codecs = f"take it with `{INSTALL}` and --include '*{each.kind}', or "
        yield (
            f"the service does not accept {each.form}: {codecs if each.with_codecs else ''}convert"
            f" each file, as in `{_command(each, directory)}`"
        )
    rest = [each for each in left_out if not (each.include or each in convertible)]
    if rest:
        names = ", ".join(printable(each.first) for each in rest[:_MOST_COMMANDS])
        yield (
            f"{names}: rename what is a recording, or convert it to WAV, MP3 or Ogg Opus, which are"
            " taken"
        )


def _kind(each: PassedOver) -> str:
    name = each.kind or "without a known extension"
    beside = ""
    if each.beside == each.files:
        beside = ", beside a recording of the same name"
    elif each.beside:
        beside = f", {format_count(each.beside)} of them beside a recording of the same name"
    return f"{format_count(each.files)} {name} ({each.form}{beside})"


def _command(each: PassedOver, directory: str) -> str:
    path = os.path.join(directory, *path_parts(each.first))  # noqa: PTH118 - keeps a leading ./
    path = f"./{path}" if path.startswith("-") or (":" in path and path[0] != "/") else path
    new = f"{stem(path)}.wav"
    words = ("ffmpeg -n", each.decoder, "-i", quote(path), "-c:a pcm_s16le", quote(new))
    return " ".join(word for word in words if word)
