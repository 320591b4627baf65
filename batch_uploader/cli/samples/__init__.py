"""Sample calls for the demo: two people who hum in turns, with the metadata of a call centre.

The two compressed ones are files beside this module, since only ``audio`` may use libsndfile: the
same hum, written by soundfile as MP3 and as Ogg Opus.
"""

import array
import io
import json
import math
import os
import random
import wave
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

from msgspec import Struct

FIELDS = (
    "operator_name",
    "operator_id",
    "client_name",
    "client_id",
    "date",
    "direction_outgoing",
    "language",
    "ticket_id",
)
"""The fields of the sidecars."""

_RATE = 8000
_BLOCK = _RATE // 10
_LOUD = 9000
_OPERATORS = ("Анна Петрова", "Олег Смирнов", "Mary Brown", "Dana Scott")
_CLIENTS = ("Иван Лебедев", "Мария Орлова", "John Carter", "Алексей", "Zoë Hart")
_CALLS = 27
_COMPRESSED = {8: "call.mp3", 19: "call.opus"}


class _Call(Struct, frozen=True):
    """One call; ``frames`` are interleaved 16-bit samples of two channels."""

    started: datetime
    frames: bytes


def write_samples(folder: Path) -> None:
    """Write the calls of two days, with sidecars; existing files are kept.

    The bytes are the same every time; one call is a copy under another name. Raises OSError.
    """
    chance = random.Random(2025)  # noqa: S311 - the same calls every time
    for number, call in enumerate(_calls(chance)):
        day = folder / f"{call.started:%Y-%m-%d}"
        day.mkdir(parents=True, exist_ok=True)
        ready = _COMPRESSED.get(number)
        audio = files(__name__).joinpath(ready).read_bytes() if ready else _wav(call.frames)
        suffix = Path(ready).suffix if ready else ".wav"
        fields = _fields(chance, call.started, number)
        names = [f"{call.started:%H%M%S}"] + ([f"{call.started:%H%M%S}_copy"] if not number else [])
        for name in names:
            _write(day / f"{name}{suffix}", audio, call.started)
            sidecar = json.dumps(fields, ensure_ascii=False, indent=2) + "\n"
            _write(day / f"{name}.json", sidecar.encode(), call.started)


def _calls(chance: random.Random) -> Iterator[_Call]:
    started = datetime(2025, 4, 23, 15, 2, 11, tzinfo=UTC)
    for _ in range(_CALLS):
        yield _Call(started, b"".join(_turns(chance)))
        started += timedelta(seconds=chance.randrange(600, 5000))


def _turns(chance: random.Random) -> Iterator[bytes]:
    """A dialog of 5 to 60 seconds, with one speaker at a time."""
    voices = (chance.randrange(90, 140, 10), chance.randrange(170, 260, 10))
    for turn in range(chance.randrange(4, 24)):
        speaker = turn % 2
        for _ in range(chance.randrange(2, 8)):
            pitch = voices[speaker] + 10 * chance.randrange(5)
            yield _hum(speaker, pitch) * chance.randrange(1, 4)
        yield bytes(4 * _BLOCK * chance.randrange(1, 4))


def _hum(speaker: int, pitch: int) -> bytes:
    """A tenth of a second whose end fits its beginning, so that it can be repeated."""
    block = array.array("h", bytes(4 * _BLOCK))
    for index in range(_BLOCK):
        angle = math.tau * pitch * index / _RATE
        wave_form = math.sin(angle) + math.sin(3 * angle) / 3 + math.sin(5 * angle) / 5
        swell = math.sin(math.pi * index / _BLOCK)
        block[2 * index + speaker] = round(_LOUD * swell * wave_form)
    return block.tobytes()


def _fields(chance: random.Random, started: datetime, number: int) -> dict[str, object]:
    operator, client = chance.randrange(len(_OPERATORS)), chance.randrange(len(_CLIENTS))
    values = (
        _OPERATORS[operator],
        str(17 + operator),
        _CLIENTS[client],
        str(4711 + client),
        started.isoformat(),
        bool(chance.getrandbits(1)),
        "ru-RU" if client != 2 else "en-US",  # noqa: PLR2004 - John
        f"T-{1000 + number}",
    )
    return dict(zip(FIELDS, values, strict=True))


def _wav(frames: bytes) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes(frames)
    return buffer.getvalue()


def _write(path: Path, content: bytes, when: datetime) -> None:
    with suppress(FileExistsError):
        with path.open("xb") as file:
            file.write(content)
        # As old as their dates, since the run would wait for new files.
        os.utime(path, (when.timestamp(), when.timestamp()))
