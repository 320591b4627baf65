"""Archives of systems that nobody has a layout for: from ``init`` to talks without an editor."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from support.audio_makers import wav

START = datetime(2026, 3, 26, 6, 12, 4, tzinfo=UTC)
MOSCOW = timedelta(hours=3)


@dataclass(frozen=True)
class Call:
    number: int

    @property
    def when(self):
        return START + timedelta(minutes=7 * self.number)

    @property
    def local(self):
        return self.when + MOSCOW

    @property
    def operator(self):
        return f"20{self.number % 4}"

    @property
    def client(self):
        return f"7900123{self.number:04}"

    @property
    def outgoing(self):
        return self.number % 3 == 0

    @property
    def sides(self):
        """Who called, and whom."""
        both = (self.operator, self.client)
        return both if self.outgoing else both[::-1]

    def truth(self, **names):
        return {
            "date": self.when,
            "operator_id": self.operator,
            "client_id": self.client,
            "direction_outgoing": "true" if self.outgoing else "false",
            "language": "ru-RU",
            "operator_name": self.operator,
            "client_name": self.client,
            **names,
        }


def sidecars(root, call):
    """A customer's own archive of a cloud PBX: JSON of one name with words of its own."""
    about = {
        "employeeId": call.operator,
        "employeeFullName": f"Operator {call.operator}",
        "direction": "out" if call.outgoing else "in",
        "language": "ru",
        "respondentNumber": f"+{call.client}",
        "dateTime": call.when.isoformat(),
    }
    (root / f"{call.number}.json").write_text(json.dumps(about))
    return f"{call.number}.wav", call.truth(operator_name=f"Operator {call.operator}")


def nested(root, call):
    """A phone in the cloud: who called whom, nested, under another name."""
    names = ("Anna", "Ivan") if call.outgoing else ("Ivan", "Anna")
    about = {
        "id": f"r-{call.number}",
        "date_time": f"{call.when:%Y-%m-%dT%H:%M:%SZ}",
        "direction": "outbound" if call.outgoing else "inbound",
        "caller_number": call.sides[0],
        "caller_name": names[0],
        "callee_number": call.sides[1],
        "callee_name": names[1],
        "owner": {"name": "Anna", "extension_number": call.operator},
    }
    name = f"rec{call.number}.wav"
    (root / f"{name}.meta.json").write_text(json.dumps(about))
    return name, call.truth(operator_name="Anna", client_name="Ivan")


def named(_root, call):
    """A download: two numbers and the local time in the name."""
    return f"{'_'.join(call.sides)}_{call.local:%Y-%m-%d_%H-%M-%S}.wav", call.truth()


HEADER = "Дата и время;Тип;Кто звонил;Кому звонили;Файл записи"


def exported(root, call):
    """A portal's export: Windows-1251, with a column for the file."""
    table = root.parent / "export.csv"
    rows = table.read_text("cp1251") if table.exists() else f"{HEADER}\n"
    word = "Исходящий" if call.outgoing else "Входящий"
    name = f"record-{call.number}.wav"
    row = [f"{call.local:%d.%m.%Y %H:%M:%S}", word, *call.sides, name]
    table.write_text(f"{rows}{';'.join(row)}\n", "cp1251")
    return name, call.truth()


KINDS = [sidecars, nested, named, exported]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_unknown_archive_becomes_talks(program, service, calls, tmp_path, kind):
    """Fault 121: what its files and fields are called says enough."""
    root = tmp_path / "records"
    root.mkdir()
    wanted = {}
    for number in range(12):
        name, fields = kind(root, Call(number))
        (root / name).write_bytes(wav(0.1 + number / 100, channels=2))
        calls.folder = root
        calls.rest(name, *(path.name for path in root.glob("*.json")))
        wanted[name] = fields
    tables = ("--metadata", root.parent / "export.csv") if kind is exported else ()
    flags = (*service.flags, "--api-key-file", calls.key_file, "--timezone", "Europe/Moscow")
    written = program("init", root, *tables, *flags)
    assert written.code == 0, written.said
    assert "No known system" in written.out
    assert "of 12 recordings that were looked at, 12 have all that is required" in written.out

    result = program("upload", root)
    assert result.code == 0, result.said
    text = (root / "manifest.jsonl").read_text("utf-8")
    sent = {line["path"]: line["talk_id"] for line in map(json.loads, text.splitlines())}
    talks = {talk.talk_id: talk.fields for talk in service.talks()}
    assert {path: talks[talk_id] for path, talk_id in sent.items()} == {
        path: fields | {"date": talks[sent[path]]["date"]} for path, fields in wanted.items()
    }
    for path, fields in wanted.items():
        assert datetime.fromisoformat(talks[sent[path]]["date"]) == fields["date"]
