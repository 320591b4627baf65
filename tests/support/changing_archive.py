"""An archive of calls that changes from night to night, with a book of which file is which call."""

import hashlib
import json
import os
import shutil
import time
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from support.sound_makers import call_wav

MOSCOW = timezone(timedelta(hours=3))
DAY = 86_400


def fields_of(call, **more):
    """The metadata of a call, as the vendor's guide has them; None removes a field."""
    began = datetime(2025, 4, 1, 9, 0, 17, tzinfo=MOSCOW) + timedelta(minutes=7 * call)
    fields = {
        "operator_name": f"Operator {call % 5}",
        "operator_id": str(10 + call % 5),
        "client_name": f"Client {call}",
        "client_id": str(4000 + call),
        "date": began.isoformat(),
        "direction_outgoing": bool(call % 2),
        "language": "ru-RU",
    }
    return {name: value for name, value in {**fields, **more}.items() if value is not None}


def in_utc(date):
    """The same instant as an export writes it."""
    return datetime.fromisoformat(date).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


class Archive:
    """A folder whose files came to rest long ago: each change is made at its own ``now``.

    ``book`` says of which call each audio is that ever lay here, by its SHA-256.
    """

    def __init__(self, folder, days_ago=40):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.book = {}
        self.now = time.time() - days_ago * DAY

    def __fspath__(self):
        return str(self.folder)

    def __str__(self):
        return str(self.folder)

    def pass_time(self, seconds=DAY):
        """Changes from now on are made so much later, though never a moment ago."""
        self.now = min(self.now + seconds, time.time() - DAY)

    def put(self, name, content, *, call=None):
        """Write a file, of a call if it is audio."""
        self.pass_time(1)
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (self.now, self.now))
        if call is not None:
            self.book[hashlib.sha256(content).hexdigest()] = call
        return path

    def describe(self, name, fields):
        """Write a sidecar."""
        return self.put(name, json.dumps(fields, ensure_ascii=False).encode())

    def add(self, call, name=None, *, seconds=3.0, content=None, **fields):
        """A call arrives: a WAV, or other content, with the sidecar of its stem."""
        name = name or f"call-{call}.wav"
        self.put(name, content or call_wav(call, seconds), call=call)
        self.describe(Path(name).with_suffix(".json"), fields_of(call, **fields))
        return name

    def read(self, name):
        """The content of a file."""
        return (self.folder / name).read_bytes()

    def fields(self, name):
        """The fields of a sidecar."""
        return json.loads(self.read(name))

    def call(self, name):
        """Which call a file is."""
        return self.book[hashlib.sha256(self.read(name)).hexdigest()]

    def change(self, name, make, *how, to=None):
        """Replace audio by what a maker makes of it, ``to`` another name if one is given."""
        call, content = self.call(name), make(self.read(name), *how)
        if to is not None:
            (self.folder / name).unlink()
        self.put(to or name, content, call=call)

    def correct(self, name, **fields):
        """Write other fields into a sidecar; None removes one."""
        told = {**self.fields(name), **fields}
        self.describe(name, {key: value for key, value in told.items() if value is not None})

    def remove(self, *names):
        """Remove files."""
        for name in names:
            (self.folder / name).unlink()

    def move(self, name, to):
        """Move a file or folder; its times stay."""
        target = self.folder / to
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(self.folder / name, target)

    def files(self, pattern):
        """The names of files that fit a pattern."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.glob(pattern))

    def manifest(self):
        """The manifest's lines, several of a path that held one recording after another."""
        text = (self.folder / "manifest.jsonl").read_text("utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def statuses(self):
        """How many lines of the manifest have which status."""
        return Counter(line["status"] for line in self.manifest())

    def counts(self, talks):
        """How many talks there are of each call."""
        return Counter(self.book[talk.sha256.hex()] for talk in talks)
