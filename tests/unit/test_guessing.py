"""What init makes of archives of systems that it does not know."""

import json
import sqlite3
import tomllib
from contextlib import closing
from functools import partial

import anyio
import pytest
from support.audio_makers import wav

from batch_uploader.app.init.guessing import guessed, is_ours, layout_of, of_fields
from batch_uploader.app.init.heads import head_of
from batch_uploader.app.init.shapes import matching_column
from batch_uploader.app.init.survey import survey


@pytest.fixture
def archive(tmp_path):
    """Writes recordings with what is beside them, and surveys them."""

    def make(beside, tables=(), count=6, name="call{n}.wav"):
        root = tmp_path / "records"
        for number in range(count):
            path = root / f"{number % 2}" / name.format(n=number)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wav(0.1))
            for file, text in beside(path.stem, path.name, number):
                (path.parent / file).write_text(text)
        heads = []
        for file, text in tables:
            if callable(text):
                text(tmp_path / file)
            else:
                (tmp_path / file).write_text(text)
            heads.append(head_of(tmp_path / file, str(tmp_path / file)))
        return anyio.run(partial(survey, root, (), heads))

    return make


def about(number):
    return {
        "employeeId": f"{number}",
        "direction": ["in", "out"][number % 2],
        "respondentNumber": f"7900123456{number}",
        "dateTime": "2026-03-27T09:25:17Z",
        "language": "ru",
    }


def metadata(found):
    fit = guessed(found)
    assert fit is not None
    assert fit.layout.settings == tomllib.loads(fit.layout.text)
    return fit.layout.settings["metadata"]


@pytest.mark.parametrize(
    "name", ["{stem}.json", "{name}.json", "{name}_meta.json", "rec-{stem}.cdr.json"]
)
def test_unknown_sidecars_are_found_by_their_names(archive, name):
    def beside(stem, full, number):
        file = name.replace("{stem}", stem).replace("{name}", full)
        return [(file, json.dumps(about(number))), ("notes.txt", "x")]

    found = metadata(archive(beside))
    assert found["sidecar"] == [{"name": name}]
    assert "'ru': 'ru-RU'" in found["map"].pop("language")
    assert found["map"] == {
        "date": "sidecar.dateTime | time",
        "direction_outgoing": "sidecar.direction | outgoing",
        "operator_id": "sidecar.employeeId",
        "operator_name": "sidecar.employeeId",
        "client_id": "(sidecar.respondentNumber) | phone or 'unknown'",
        "client_name": "(sidecar.respondentNumber) | phone or 'unknown'",
    }


def test_xml_and_nested_fields_are_found(archive):
    def beside(stem, _full, number):
        agent = f"<agent><name>Anna</name><ext>20{number}</ext></agent>"
        client = "<client-phone>7</client-phone>"
        return [(f"{stem}.xml", f"<c><start>1774592717</start>{agent}{client}</c>")]

    found = metadata(archive(beside))
    assert found["sidecar"] == [{"name": "{stem}.xml"}]
    assert found["map"]["date"] == "sidecar.start | epoch"
    assert found["map"]["operator_id"] == "sidecar.agent.ext"
    assert found["map"]["operator_name"] == "sidecar.agent.name"
    assert found["map"]["client_id"] == "(sidecar['client-phone']) | phone or 'unknown'"


def test_a_file_for_a_folder_is_found_with_its_records(archive):
    def beside(_stem, _full, number):
        names = [f"call{n}.wav" for n in range(number % 2, 6, 2)]
        calls = [{"audio": {"x": 1}, "file": each, **about(0)} for each in names]
        return [("index.json", json.dumps({"export": {"calls": calls}}))]

    found = metadata(archive(beside))
    assert found["sidecar"] == [{"name": "index.json", "records": "export.calls", "match": "file"}]


def test_a_table_is_found_by_the_column_that_names_recordings(archive):
    rows = "id;File;Кто звонил;Кому звонили;Направление;Дата\n" + "".join(
        f"{n};/old/call{n}.mp3;20{n};7900123456{n};Исходящий;27.03.2026 09:25:17\n"
        for n in range(90)
    )
    found = archive(lambda *_: (), [("export.csv", rows)])
    fit = guessed(found)
    assert "its column File names 6 recordings" in fit.evidence
    described = metadata(found)
    assert described["table"] == [
        {"file": "export.csv", "match": {"column": "File", "with": "stem"}}
    ]
    out = "(table['Направление'] | outgoing)"
    assert described["map"] == {
        "date": "table['Дата'] | time",
        "direction_outgoing": "table['Направление'] | outgoing",
        "operator_id": f"table['Кто звонил'] if {out} else table['Кому звонили']",
        "operator_name": f"table['Кто звонил'] if {out} else table['Кому звонили']",
        "client_id": f"(table['Кому звонили'] if {out} else table['Кто звонил'])"
        " | phone or 'unknown'",
        "client_name": f"(table['Кому звонили'] if {out} else table['Кто звонил'])"
        " | phone or 'unknown'",
    }
    assert '# timezone = "Europe/Moscow"' in fit.layout.text


def test_what_is_not_found_stays_a_comment():
    example = {"begin": "2026-03-27T09:25:17Z", "way": "7", "colour": "red", "list": [1]}
    layout = layout_of(of_fields("sidecar", [example]), [], "title")
    assert layout.settings["metadata"]["map"] == {"date": "sidecar.begin | time"}
    assert '# direction_outgoing = "..."  # not found among begin, way, colour' in layout.text
    assert "timezone" not in layout.text
    assert not of_fields("sidecar", [{"colour": "red"}]).says_enough


def test_sidecars_in_our_own_form_are_not_guessed(archive):
    def beside(stem, _full, number):
        ours = {"operator_id": "7", "client_id": "8", "x": str(number)}
        return [(f"{stem}.json", json.dumps(ours))]

    assert is_ours(archive(beside))


def test_without_sidecars_or_tables_nothing_is_guessed(archive):
    assert guessed(archive(lambda *_: ())) is None
    other = archive(lambda *_: (), [("t.csv", "file,date\nx.wav,2026-03-27\n")])
    assert guessed(other) is None
    assert matching_column([], ["a.wav"]) is None


def test_names_are_guessed_if_nothing_else_is_there(archive):
    numbers = "{n}0{n}_7900123456{n}_2026-03-2{n}_09-25-17.wav"
    fit = guessed(archive(lambda *_: (), name=numbers))
    assert fit.evidence == ("100% of the names are alike",)
    described = fit.layout.settings["metadata"]
    assert described["map"]["date"] == "start | time('%Y-%m-%d_%H-%M-%S')"
    assert described["map"]["operator_id"] == "first if first | length < 7 else second"
    assert described["map"]["direction_outgoing"] == "first | length < 7"
    assert '# timezone = "Europe/Moscow"' in fit.layout.text

    both = "7495123456{n}_7900123456{n}_2026-03-2{n}_09-25-17.wav"
    text = guessed(archive(lambda *_: (), name=both)).layout.text
    assert '# operator_id = "..."  # not found among' in text


def in_database(columns, rows):
    """Makes a database of a table with a name that has to be quoted, beside others."""

    def make(path):
        with closing(sqlite3.connect(path)) as base, base:
            base.execute("CREATE TABLE agents (id, name)")
            base.execute(f'CREATE TABLE "call log" ({", ".join(columns)})')
            base.executemany('INSERT INTO "call log" VALUES (?, ?, ?, ?, ?)', rows)

    return make


def test_a_table_of_a_database_is_found_by_what_is_in_it(archive):
    rows = [
        (f"C:\\REC\\{n % 2}\\CALL{n}.MP3", "2026-03-27 09:25:17", "in", 204, f"7900123456{n}")
        for n in range(6)
    ]
    columns = ("file_name", "start_time", "direction", "agent_id", "phone")
    found = metadata(archive(lambda *_: [], [("calls.db", in_database(columns, rows))]))
    assert found["table"] == [
        {
            "database": "sqlite:calls.db",
            "query": 'SELECT * FROM "call log"',
            "match": {"column": "file_name", "with": "stem"},
        }
    ]
    assert found["map"]["date"] == "table.start_time | time"
    assert found["map"]["operator_id"] == "table.agent_id"


def test_a_table_that_names_recordings_is_declared_even_if_its_columns_mean_nothing(archive):
    text = "".join(f"call{n}.wav;x;y\n" for n in range(6))
    found = archive(lambda *_: [], [("odd.csv", f"q;w;e\n{text}")], name="call{n}.wav")
    fit = guessed(found)
    assert metadata(found)["table"] == [
        {"file": "odd.csv", "match": {"column": "q", "with": "stem"}}
    ]
    assert metadata(found)["map"] == {}
    assert not fit.described
    assert '# client_id = "..."  # not found among q, w, e' in fit.layout.text


@pytest.mark.parametrize(("folder", "by", "told"), [("", "stem", 1), ("C:\\rec\\{}\\", "path", 0)])
def test_names_that_occur_in_several_folders_need_their_folders(archive, folder, by, told):
    rows = "".join(
        f"{folder.format(n)}call.wav;2026-03-27 09:25:17;in;204;7900123456{n}\n" for n in range(2)
    )
    table = ("cdr.csv", f"file;start_time;direction;agent_id;phone\n{rows}")
    found = archive(lambda *_: [], [table], count=2, name="call.wav")
    assert metadata(found)["table"][0]["match"] == {"column": "file", "with": by}
    evidence = guessed(found).evidence
    assert sum("have the name of one in another folder" in each for each in evidence) == told
