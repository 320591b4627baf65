"""What the makers of archives share: the calls that took place, their files, and the truth."""

import csv
import io
import json
import os
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

MOSCOW = ZoneInfo("Europe/Moscow")
FIRST = datetime(2026, 3, 26, 5, 12, 4, tzinfo=UTC)


@dataclass(frozen=True)
class Operator:
    """Somebody who answers: every system knows them by another of these."""

    name: str
    extension: str
    login: str
    id: str


OPERATORS = (
    Operator("Анна Иванова", "204", "ivanova", "9a1f0c52-0000-4000-8000-000000000204"),
    Operator("Пётр Ёлкин", "205", "elkin_p", "9a1f0c52-0000-4000-8000-000000000205"),
    Operator("Мария Петрова-Водкина", "211", "petrova_a", "9a1f0c52-0000-4000-8000-000000000211"),
    Operator("Олег Ким", "1004", "kim", "9a1f0c52-0000-4000-8000-000000001004"),
)


@dataclass(frozen=True)
class Call:
    """A call as it was, whatever a system writes about it."""

    number: int
    start: datetime
    operator: Operator
    client: str
    client_name: str
    outgoing: bool
    seconds: float

    def local(self, zone=MOSCOW):
        """Its start on the clocks of a zone."""
        return self.start.astimezone(zone)

    @property
    def epoch(self):
        """Its start in seconds since 1970."""
        return int(self.start.timestamp())

    @property
    def wait(self):
        """The seconds until it was answered."""
        return 2 + self.number % 9

    @property
    def answer(self):
        return self.start + timedelta(seconds=self.wait)

    @property
    def end(self):
        return self.answer + timedelta(seconds=60 + self.number)

    def fields(self, **others):
        """What its talk should have at the service; ``others`` are what this system tells else."""
        told = {
            "operator_id": self.operator.extension,
            "operator_name": self.operator.name,
            "client_id": self.client,
            "client_name": self.client,
            "date": self.start.isoformat(),
            "direction_outgoing": "true" if self.outgoing else "false",
            "language": "ru-RU",
        } | others
        return {name: value for name, value in told.items() if value is not None}


def calls(count, seed=17, operators=OPERATORS):
    """So many calls, one after another; the same ones each time."""
    draw = random.Random(seed)
    start, told = FIRST, []
    for number in range(count):
        start += timedelta(seconds=draw.randrange(40, 700))
        told.append(
            Call(
                number,
                start,
                draw.choice(operators),
                f"7{draw.choice((900, 916, 495, 812))}{draw.randrange(10**7):07}",
                draw.choice(("Ирина", "Кафе «Ромашка»", "Ivan O'Neil", "Саид")),
                draw.random() < 0.4,
                draw.choice((0.4, 0.5, 0.6)),
            )
        )
    return told


def phone(number, how):
    """A number of eleven digits as people and systems write it."""
    ten = number[1:]
    return (
        number,
        f"+{number}",
        f"8{ten}",
        ten,
        f"8 ({ten[:3]}) {ten[3:6]}-{ten[6:8]}-{ten[8:]}",
    )[how % 5]


@dataclass
class Archive:
    """An archive on disk, and the truth about each of its files.

    ``talks`` has the fields of those that should go up, ``defects`` the kind of the defect of those
    that the service would refuse, ``undescribed`` those that nothing describes, ``passed_over``
    those that are not taken for recordings. ``converted`` has the fields of the defects that go up
    once their sound is converted, ``legs`` the files of those talks that are joined. ``answers`` is
    what only a human knows.
    """

    root: Path
    tables: dict[str, Path] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    talks: dict[str, dict[str, str]] = field(default_factory=dict)
    defects: dict[str, str] = field(default_factory=dict)
    converted: dict[str, dict[str, str]] = field(default_factory=dict)
    undescribed: set[str] = field(default_factory=set)
    passed_over: set[str] = field(default_factory=set)
    legs: dict[str, set[str]] = field(default_factory=dict)

    def put(self, path, content, when):
        """A file, last changed when its call had ended."""
        target = self.root / path
        assert not target.exists(), f"two files of one name: {path}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.utime(target, (when.timestamp(), when.timestamp()))

    def talk(self, path, content, call, **fields):
        """A recording that should go up."""
        self.put(path, content, call.end)
        self.talks[path] = call.fields(**fields)

    def joined(self, path, legs, call, mix=None, **fields):
        """A recording that is made of two legs, which may lie beside their mix."""
        for leg, content in legs.items():
            self.put(leg, content, call.end)
        self.legs[path] = {*legs}
        if mix is not None:
            self.put(path, mix, call.end)
        self.talks[path] = call.fields(**fields)

    def defect(self, path, content, call, kind):
        """A recording that the service would refuse."""
        self.put(path, content, call.end)
        self.defects[path] = kind

    def refused(self, path, content, call, kind="codec", **fields):
        """A recording that the service would refuse, and takes once it is converted."""
        self.defect(path, content, call, kind)
        self.converted[path] = call.fields(**fields)

    def lost(self, path, content, call):
        """A recording that nothing describes."""
        self.put(path, content, call.end)
        self.undescribed.add(path)

    def passed(self, path, content, call):
        """A file that is not taken for a recording."""
        self.put(path, content, call.end)
        self.passed_over.add(path)

    def beside(self, path, content, call):
        """A sidecar, or another file that is no recording."""
        self.put(path, content, call.end)

    def table(self, name, content):
        """A table, beside the directory of the recordings."""
        target = self.root.parent / name
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.tables[name] = target


def archive(folder, **answers):
    """An empty archive in this folder."""
    root = Path(folder) / "records"
    root.mkdir(parents=True)
    return Archive(root, answers=answers)


def written(rows, names=None, *, header=True, **dialect):
    """A table as text; ``rows`` are dicts if the names of the columns are given."""
    out = io.StringIO()
    writer = csv.writer(out, **dialect)
    if names and header:
        writer.writerow(names)
    writer.writerows([row.get(name, "") for name in names] if names else row for row in rows)
    return out.getvalue()


def columns(text):
    """The names of a table's columns."""
    return text.split()


def lines(objects):
    """JSON lines."""
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in objects)


def uuid(call, kind=0):
    """An ID as systems give them out, the same each time."""
    bits = random.Random(call.number * 10 + kind).getrandbits(120)
    text = f"{bits:030x}"
    return f"{text[:8]}-{text[8:12]}-4{text[12:15]}-8{text[15:18]}-{text[18:30]}"


def operators(key):
    """A table of the operators' names by their extension, login or ID."""
    return written([(key, "name"), *((getattr(who, key), who.name) for who in OPERATORS)])
