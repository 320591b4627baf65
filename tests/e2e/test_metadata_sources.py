"""Archives whose metadata are not in sidecars of our own: mapped by settings, then uploaded."""

import json
import shutil

import pytest

UUID = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def archive(calls, program, upload, service):
    """Writes recordings, files beside them and settings, and uploads: what became of each."""

    class Archive:
        folder = calls.folder

        def recording(self, name, seconds=0.1):
            calls.write(name, seconds=seconds)
            sidecar = calls.folder / name
            sidecar.with_suffix(".json").unlink()

        def file(self, name, content):
            text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
            calls.put(name, text.encode())

        def settings(self, text):
            (program.directory / "batch-uploader.toml").write_text(text)

        def upload(self, *flags, code=0):
            result = upload(*flags, "--progress", "plain", "--sidecar-wait", "0")
            assert result.code == code, result.said
            talks = {talk.talk_id: dict(talk.fields) for talk in service.talks()}
            return {
                path: talks.get(line["talk_id"]) or line["error"]
                for path, line in calls.manifest().items()
            }

    return Archive()


def test_a_trunking_recorder(archive):
    """Numbers, epoch seconds and nested lists: a sidecar of our name that is another system's."""
    archive.recording("13-1700000000_769000000.wav")
    archive.file(
        "13-1700000000_769000000.json",
        {
            "freq": 769000000,
            "start_time": 1700000000,
            "emergency": 0,
            "talkgroup": 13,
            "talkgroup_tag": "District 1",
            "freqList": [{"freq": 769000000, "len": 3.78, "error_count": "8"}],
            "srcList": [{"src": 39000, "time": 1700000000, "tag": ""}],
        },
    )
    archive.settings(
        """
        kind = "two-channel"
        call-id = ["freq", "start_time"]
        [defaults]
        language = "ru-RU"
        [metadata.map]
        date = "start_time | epoch"
        operator_id = "srcList[0].src"
        operator_name = "srcList[0].tag or 'unit ' ~ srcList[0].src"
        client_id = "talkgroup"
        client_name = "talkgroup_tag"
        direction_outgoing = "emergency == 1"
        """
    )
    assert archive.upload() == {
        "13-1700000000_769000000.wav": {
            "date": "2023-11-14T22:13:20+00:00",
            "operator_id": "39000",
            "operator_name": "unit 39000",
            "client_id": "13",
            "client_name": "District 1",
            "direction_outgoing": "false",
            "language": "ru-RU",
        }
    }


def test_sidecars_of_other_names(archive):
    """One beside the audio under a name of its system, and one for a folder."""
    archive.recording(f"gen/{UUID}.wav")
    archive.file(
        f"gen/{UUID}.wav_metadata.json", {"agent": {"id": 7}, "at": "2025-01-05T10:00:00Z"}
    )
    archive.file(f"gen/{UUID}.wav_call_metadata.json", {"queue": "sales"})
    rows = []
    for n in range(3):
        archive.recording(f"ya/call{n}.wav")
        row = {"operator_id": "17", "date": f"2025-01-0{n + 1} 10:00:00"}
        rows.append({**row, "direction_outgoing": str(n % 2), "file_name": f"call{n}.wav"})
    archive.file("ya/metadata.json", {"source_system_id": "000001", "metadata": rows})
    archive.settings(
        """
        call-id = ["file.stem"]
        [connection.fields]
        date = "date"
        direction_outgoing = "boolean"
        [metadata]
        timezone = "Europe/Moscow"
        [[metadata.sidecar]]
        name = "{name}_metadata.json"
        [[metadata.sidecar]]
        name = "{name}_call_metadata.json"
        [[metadata.sidecar]]
        name = "metadata.json"
        records = "metadata"
        match = "file_name"
        [metadata.map]
        operator_id = "operator_id | default(agent.id)"
        date = "date | default(at) | time"
        queue = "queue | default('')"
        system = "source_system_id | default('')"
        """
    )
    assert archive.upload() == {
        f"gen/{UUID}.wav": {
            "operator_id": "7",
            "date": "2025-01-05T10:00:00+00:00",
            "queue": "sales",
        },
        **{
            f"ya/call{n}.wav": {
                "operator_id": "17",
                "date": f"2025-01-0{n + 1}T10:00:00+03:00",
                "direction_outgoing": "true" if n % 2 else "false",
                "system": "000001",
            }
            for n in range(3)
        },
    }


DATES = [
    *("2025-04-24 14:34:19", "2025-04-24T14:34:19", "2025-04-24T14:34:19.000", 1745494459),
    *("24.04.2025 14:34:19", "2025-04-24T14:34:19+0300", "2025-04-24 14:34:19+03:00"),
]


def test_local_times_of_sidecars(archive):
    """Seven ways to write one moment, in sidecars that else are our own: --timezone is enough."""
    for n, date in enumerate(DATES):
        archive.recording(f"c{n}.wav")
        archive.file(f"c{n}.json", {"date": date, "client_id": str(n), "ticket": f"T{n}"})
    archive.settings('[connection.fields]\ndate = "date"\n')
    found = archive.upload("--timezone", "Europe/Moscow")
    for n in range(len(DATES)):
        assert found[f"c{n}.wav"] == {
            "date": "2025-04-24T14:34:19+03:00",
            "client_id": str(n),
            "ticket": f"T{n}",
        }


def test_without_a_time_zone_local_times_are_defects(archive):
    archive.recording("c.wav")
    archive.file("c.json", {"date": "2025-04-24 14:34:19"})
    archive.settings('[connection.fields]\ndate = "date"\n[metadata.map]\nx = "\'1\'"\n')
    found = archive.upload(code=1)
    assert found["c.wav"]["code"] == "metadata-value"
    assert "--timezone" in found["c.wav"]["message"]


VENDOR = [
    ({"direction_outgoing": "0"}, {"direction_outgoing": "false"}),
    ({"direction_outgoing": 1}, {"direction_outgoing": "true"}),
    ({"direction_outgoing": "True"}, {"direction_outgoing": "true"}),
    ({"direction_outgoing": "да"}, {"direction_outgoing": "true"}),
    ({"date": "2025-01-01 10:00:00"}, {"date": "2025-01-01T10:00:00+03:00"}),
    ({"language": "ru-RU, kk-KZ"}, {"language": "ru-RU, kk-KZ"}),
    (
        {"operator_id": 17, "client_id": 74951234567},
        {"operator_id": "17", "client_id": "74951234567"},
    ),
    ({"client_id": 7.4951234567e10}, {"client_id": "74951234567"}),
]


def test_values_as_the_vendors_own_example_writes_them(archive):
    fields = {
        "operator_id": "1",
        "operator_name": "Анна",
        "client_name": "Иван",
        "date": "2025-01-01T10:00:00+03:00",
        "direction_outgoing": "true",
        "language": "ru-RU",
    }
    for n, (more, _) in enumerate(VENDOR):
        archive.recording(f"c{n}.wav")
        archive.file(f"c{n}.json", {**fields, "client_id": str(n), **more})
    archive.settings('kind = "two-channel"\n[metadata]\ntimezone = "Europe/Moscow"\n')
    found = archive.upload("--call-id", "none")
    for n, (_, right) in enumerate(VENDOR):
        assert found[f"c{n}.wav"] == {**fields, "client_id": str(n), **right}


NAMES = r"(?P<kind>\w+)-(?P<dst>\d+)-(?P<src>\w+)-(?P<began>\d{8}-\d{6})-(?P<uid>\d+\.\d+)"


def test_names_alone(archive):
    """The time zone is that between the local time and the UTC seconds in the name."""
    archive.recording("2026/03/27/out-89001234567-204-20260327-092517-1774592717.512.wav")
    archive.recording("2026/03/27/notes.wav")
    archive.settings(
        """
        call-id = ["uid"]
        [metadata.map]
        date = "began | time(utc=uid)"
        client_id = "(dst if kind == 'out' else src) | phone"
        operator_id = "src if kind == 'out' else dst"
        direction_outgoing = "kind | outgoing"
        """
    )
    found = archive.upload("--names", NAMES, code=1)
    assert found["2026/03/27/out-89001234567-204-20260327-092517-1774592717.512.wav"] == {
        "date": "2026-03-27T09:25:17+03:00",
        "client_id": "79001234567",
        "operator_id": "204",
        "direction_outgoing": "true",
    }
    assert found["2026/03/27/notes.wav"]["code"] == "name-unfit"


def test_groups_of_names_tell_calls_apart(archive, calls):
    """The same audio under two ids is two calls, and one under the same id a duplicate."""
    for name in ("a-1.wav", "b-2.wav", "sub/c-1.wav"):
        archive.recording(name)
        calls.put(name, (calls.folder / "a-1.wav").read_bytes())
    archive.settings(
        """
        call-id = ["id"]
        [metadata]
        names = '(?P<n>.)-(?P<id>[0-9])'
        [metadata.map]
        name = "n"
        """
    )
    archive.upload()
    by_status = {path: line["status"] for path, line in calls.manifest().items()}
    assert by_status["b-2.wav"] == "uploaded"
    assert sorted([by_status["a-1.wav"], by_status["sub/c-1.wav"]]) == ["duplicate", "uploaded"]


def test_a_second_run_sends_nothing_and_a_changed_sidecar_is_told(archive, calls, upload):
    archive.recording("a.wav")
    archive.file("a.xml", "<call><id>1</id></call>")
    archive.settings(
        '[[metadata.sidecar]]\nname = "{stem}.xml"\n[metadata.map]\nid = "sidecar.id"\n'
    )
    assert archive.upload() == {"a.wav": {"id": "1"}}
    before = calls.manifest()
    assert archive.upload() == {"a.wav": {"id": "1"}}
    assert calls.manifest() == before
    archive.file("a.xml", "<call><id>22</id></call>")
    result = upload()
    assert result.code == 0
    assert "outdated 1" in result.said


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('[metadata]\nnames = "(?P<a>"', "unterminated subpattern"),
        ('[metadata]\ntimezone = "Moscow"', "did you mean Europe/Moscow"),
        ('[metadata]\norder = ["cdr"]', "order names 'cdr'"),
        ('[metadata.map]\nid = "src |"', "id in [metadata.map]"),
        ("[metadata.map]\nid = 5", "it is not a text"),
        ("[metadata]\nmapp = 5", "did you mean map?"),
        ('[[metadata.sidecar]]\nname = "x"', "format of the sidecar"),
        ('layout = "freepbxx"', "the layouts are"),
        ("metadata = 5", "write it as [NAME]"),
        (
            "[[metadata.table]]\nfile = 'x.csv'\nmatch = {colum = 'a'}\n",
            "unknown setting 'colum' in match",
        ),
    ],
)
def test_wrong_settings_are_told_where_they_stand(archive, upload, settings, said):
    archive.recording("a.wav")
    archive.settings(settings)
    result = upload()
    assert result.code == 2
    assert said in result.err
    assert "batch-uploader.toml" in result.err


TABLE = (
    '[[metadata.table]]\nas = "NAME"\nfile = "NAME.csv"\nmatch = {column = "a", with = "stem"}\n'
)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("", "nothing says how the rows of cdr.csv belong to recordings"),
        (
            TABLE.replace("NAME", "a") + TABLE.replace("NAME", "b"),
            "cdr.csv may be any of 2 tables of the settings",
        ),
    ],
    ids=["none", "several"],
)
def test_a_table_whose_place_is_not_clear_is_told_with_the_cure(archive, upload, settings, said):
    archive.recording("a.wav")
    archive.settings(settings)
    result = upload("--metadata", "cdr.csv")
    assert result.code == 2
    assert said in result.err
    assert "[[metadata.table]]" in result.err


CDR = "calldate,src,dst,disposition,billsec,did,uniqueid,recordingfile\n"


def cdr(*rows):
    return CDR + "".join(",".join(map(str, row)) + "\n" for row in rows)


TABLE = """
    call-id = ["uniqueid"]
    [metadata]
    timezone = "Europe/Moscow"
    [[metadata.table]]
    file = "cdr.csv"
    as = "cdr"
    match = { column = "recordingfile", with = "stem" }
    choose = ["disposition == 'ANSWERED'", "longest billsec"]
    [[metadata.lookup]]
    file = "operators.csv"
    as = "operators"
    key = "extension"
    value = "name"
    [metadata.map]
    date = "calldate | time"
    client_id = "cdr.src | phone"
    operator_id = "dst"
    operator_name = "dst | lookup('operators') or dst"
"""


def row(name, day=27, billsec=31, disposition="ANSWERED", dst=204):
    return (
        f"2026-03-{day} 09:25:17",
        "8 900 123-45-67",
        *(dst, disposition, billsec, "74950000001", f"17745927{day}.5", f"{name}.wav"),
    )


@pytest.fixture
def tables(archive, program):
    """Writes the tables, where the settings file is."""

    def write(*rows, names="extension;name\n204;Анна Иванова\n"):
        (program.directory / "cdr.csv").write_text(cdr(*rows), encoding="utf-8-sig")
        (program.directory / "operators.csv").write_text(names, encoding="cp1251")

    archive.settings(TABLE)
    return write


def test_rows_of_a_table(archive, tables):
    """Fault 115: rows without files do not matter, and a queue's tries are chosen among."""
    for name in ("a.mp3", "2026/b.wav", "lost.wav"):
        archive.recording(name)
    tables(
        row("a"),
        row("b", 28, 0, "NO ANSWER", 205),
        row("b", 28, 20, "ANSWERED", 206),
        row("b", 28, 40, "ANSWERED"),
        row("elsewhere", 29),
    )
    found = archive.upload(code=1)
    right = {"client_id": "79001234567", "operator_id": "204", "operator_name": "Анна Иванова"}
    assert found.pop("lost.wav")["code"] == "row-missing"
    assert found == {
        "a.mp3": {**right, "date": "2026-03-27T09:25:17+03:00"},
        "2026/b.wav": {**right, "date": "2026-03-28T09:25:17+03:00"},
    }


def test_a_table_that_grows_makes_nothing_else_look_changed(archive, tables, calls, upload):
    """Fault 116."""
    for name in ("one/a.wav", "two/b.wav"):
        archive.recording(name)
    tables(row("a"))
    archive.upload(code=1)
    before = calls.manifest()["one/a.wav"]
    tables(row("a"), row("b", 28), row("x", 29))
    found = archive.upload()
    assert found["two/b.wav"]["date"] == "2026-03-28T09:25:17+03:00"
    assert calls.manifest()["one/a.wav"] == before
    tables(row("x", 30), row("a", dst=205), row("b", 28), row("x", 29))
    assert "outdated 1" in upload().said


def test_a_table_named_by_a_flag_takes_the_place_of_that_of_a_layout(
    archive, tables, program, calls, tmp_path
):
    archive.recording("out-79001234567-204-20260327-092517-1774592717.512.wav")
    archive.settings('layout = "freepbx"\n')
    named = "out-79001234567-204-20260327-092517-1774592717.512"
    columns = (
        "calldate,uniqueid,did,channel,dstchannel,cnum,cnam,src,dst,dst_cnam,disposition,billsec"
    )
    values = (
        "2026-03-27 09:25:17,1774592717.512,,PJSIP/204-1,PJSIP/t-2,204,Anna"
        ",204,79001234567,,ANSWERED,5"
    )
    (tmp_path / "export.csv").write_text(f"{columns},recordingfile\n{values},{named}.wav\n")
    found = archive.upload("--metadata", tmp_path / "export.csv")
    assert found[f"{named}.wav"] == {
        "date": "2026-03-27T09:25:17+03:00",
        "operator_id": "204",
        "operator_name": "Anna",
        "client_id": "79001234567",
        "client_name": "79001234567",
        "direction_outgoing": "true",
        "language": "ru-RU",
    }


def test_check_reads_tables_and_leaves_no_trace(archive, tables, calls, program):
    archive.recording("a.wav")
    tables(row("a"))
    result = program("check", calls)
    assert result.code == 0, result.said
    assert "1 recording," in result.out
    assert [each.name for each in calls.folder.iterdir()] == ["a.wav"]


def test_check_and_explain_know_what_is_new_in_a_table_and_leave_its_index_alone(
    archive, tables, calls, program
):
    for name in ("one/a.wav", "two/b.wav"):
        archive.recording(name)
    tables(row("a"), row("x", 29))
    archive.upload(code=1)
    [index] = calls.folder.rglob("*-tables/cdr-*.db")
    before = index.read_bytes(), calls.manifest()
    tables(row("a"), row("x", 29), row("b", 28))
    result = program("check", calls)
    assert result.code == 0, result.said
    assert "1 recording," in result.out
    explained = program("check", calls, "--explain", "two/b.wav")
    assert "cdr.csv, line 4" in explained.out
    assert (index.read_bytes(), calls.manifest()) == before
    assert archive.upload()["two/b.wav"]["operator_id"] == "204"


def test_a_table_that_is_not_there_is_a_wrong_setting(archive, upload, program):
    archive.recording("a.wav")
    archive.settings(TABLE)
    result = upload()
    assert result.code == 2
    assert "cdr.csv: there is no such file" in result.err
    assert f"({program.directory / 'cdr.csv'})" in result.err


def test_explain_shows_each_value_with_its_origin(archive, tables, calls, program):
    archive.recording("2026/a.wav")
    archive.recording("lost.wav")
    tables(row("x", 29), row("a"))
    result = program("check", calls, "--explain", "2026/a.wav")
    assert result.code == 0, result.said
    assert "  client_id = 79001234567  (src of cdr.csv, line 3)\n" in result.out
    assert "  operator_name = Анна Иванова  (dst of cdr.csv, line 3)\n" in result.out
    assert "cdr: cdr.csv, line 3\n  calldate = 2026-03-27 09:25:17\n" in result.out
    assert "  folder = 2026\n" in result.out
    told = json.loads(program("check", calls, "--explain", calls.folder / "lost.wav", "--json").out)
    assert [each["code"] for each in told["defects"]] == ["row-missing"]
    assert told["path"] == "lost.wav"
    missing = program("check", calls, "--explain", "nowhere.wav")
    assert missing.code == 2
    assert "nowhere.wav: there is no such recording" in missing.err


def test_explain_of_a_sidecar_of_our_own(archive, calls, program):
    archive.recording("a.wav")
    archive.file("a.json", {"ticket": "7"})
    result = program("check", calls, "--explain", "a.wav", "--default", "language=ru-RU")
    assert result.code == 0, result.said
    assert "  ticket = 7  (a.json)\n" in result.out
    assert "  language = ru-RU  (a default of the settings)\n" in result.out


def test_a_table_among_the_recordings_is_no_sidecar(archive, tables, calls, program):
    archive.recording("a.wav")
    tables()
    rows = [{"recordingfile": "a.wav", "src": "79001234567", "dst": "204", "uniqueid": "1"}]
    archive.file("calls.json", [{**each, "calldate": "2026-03-27 09:25:17"} for each in rows])
    archive.settings(TABLE.replace("cdr.csv", "x.json").replace("choose", "# choose"))
    found = archive.upload("--metadata", calls.folder / "calls.json")
    assert found["a.wav"]["operator_name"] == "Анна Иванова"


def test_a_row_that_cannot_be_used_is_told_and_stops_nothing(archive, tables, calls, program):
    """Fault 115."""
    archive.recording("a.wav")
    tables(row("a"))
    table = program.directory / "cdr.csv"
    table.write_text(table.read_text("utf-8") + 'broken,"row\n', "utf-8")
    result = program("check", calls)
    assert result.code == 0, result.said
    assert "a row cannot be used: cdr.csv, line 3: " in result.err
    assert json.loads(program("check", calls, "--json").out)["unusable_rows"] == 1
    assert archive.upload()["a.wav"]["operator_id"] == "204"


def test_rows_that_cannot_be_used_are_told_one_by_one(archive, tables, calls, program):
    """Fault 115: the row that a recording lacks may be one of them."""
    archive.recording("b.wav")
    tables(row("a"), row("b", dst="7.90012E+10"))
    table = program.directory / "cdr.csv"
    broken = "".join(f"broken{number},row\n" for number in range(4))
    table.write_text(f"{table.read_text('utf-8')}{broken}", "utf-8")
    result = program("check", calls, "--sidecar-wait", "0s")
    assert result.code == 1, result.said
    told = [line for line in result.err.splitlines() if "cannot be used" in line]
    assert [line.partition(": a row cannot be used: ")[0] for line in told[:3]] == ["warning"] * 3
    assert "line 3: 7.90012E+10 is a number that Excel has rounded" in told[0]
    assert "line 4: " in told[1]
    assert told[3:] == ["warning: 2 further rows cannot be used"]
    assert "no row of cdr.csv is about it, but 5 rows of it cannot be used" in result.out


def test_an_id_of_calls_that_no_recording_has_is_told(archive, tables, calls, program):
    """Nothing else would say that it was mistyped."""
    archive.recording("a.wav")
    tables(row("a"))
    for names, told in (("uniqueid", False), ("uniqid", True), ("uniqid,uniqueid", True)):
        result = program("check", calls, "--call-id", names)
        assert result.code == 0, result.said
        said = f"no recording to send has all of --call-id ({names}), so it tells no calls apart"
        assert (said in result.err) is told


def test_an_upload_says_first_that_no_recording_has_the_id_of_calls(archive, tables, upload):
    said = "no recording to send has all of --call-id (uniqid), so it tells no calls apart"
    for name in ("a", "b", "c"):
        archive.recording(f"{name}.wav")
    for again, names, told in ((0, "uniqid", True), (1, "uniqid", False), (2, "uniqueid", False)):
        tables(*(row(name, 27 + day) for day, name in enumerate("abc"[: again + 1])))
        result = upload("--call-id", names, "--progress", "plain", "--sidecar-wait", "0")
        before, sent, after = result.err.partition("uploaded 1")
        assert sent, result.said
        assert (said in before) is told
        assert said not in after


def test_a_recording_waits_for_its_row(archive, tables, calls, upload):
    """Fault 115."""
    archive.recording("a.wav")
    tables()
    result = upload("--progress", "plain")
    assert result.code == 0, result.said
    assert "1 without a row in the table yet (--sidecar-wait)" in result.err
    tables(row("a"))
    assert archive.upload()["a.wav"]["operator_id"] == "204"


def test_what_a_second_table_lacked_goes_up_once_it_is_there(archive, tables, calls):
    archive.recording("a.wav")
    tables(row("a", dst=205))
    archive.settings(
        TABLE.replace(" or dst", "") + "[connection.fields]\noperator_name = {required = true}\n"
    )
    assert archive.upload(code=1)["a.wav"]["code"] == "metadata-required"
    tables(row("a", dst=205), names="extension;name\n204;Анна\n205;Пётр\n")
    assert archive.upload()["a.wav"]["operator_name"] == "Пётр"


def test_flags_name_second_tables_by_their_names(archive, tables, tmp_path):
    archive.recording("a.wav")
    tables(row("a"))
    (tmp_path / "operators.csv").write_text("extension,name\n204,Ольга\n")
    (tmp_path / "export.csv").write_text(cdr(row("a")))
    flags = ("--metadata", tmp_path / "operators.csv", "--metadata", tmp_path / "export.csv")
    assert archive.upload(*flags)["a.wav"]["operator_name"] == "Ольга"


def test_a_row_that_the_rule_cannot_judge_is_a_defect_of_its_recording_alone(archive, calls):
    for name in ("a.wav", "b.wav"):
        archive.recording(name)
    rows = [
        {"file": "a.wav", "state": "done", "id": 1},
        {"file": "a.wav", "state": "lost", "id": 2},
        {"file": "b.wav", "state": "done", "id": 3},
        {"file": "b.wav", "id": 4},
    ]
    archive.file("rows.jsonl", "".join(json.dumps(each) + "\n" for each in rows))
    archive.settings(
        f"""
        [[metadata.table]]
        file = "{calls.folder / "rows.jsonl"}"
        match = {{ column = "file", with = "name" }}
        choose = ["state == 'done'"]
        [metadata.map]
        id = "table.id"
        """
    )
    found = archive.upload(code=1)
    assert found["a.wav"] == {"id": "1"}
    assert found["b.wav"]["code"] == "table-rule"
    assert "names a column that is not there; its columns are" in found["b.wav"]["message"]


def test_one_row_for_recordings_in_two_folders_is_nobodys(archive, program):
    """Whichever of them a run meets first: neither gets the row that may be the other's."""
    row = "2026-03-27 09:25:17,79001234567,Anna"
    archive.file("cdr.csv", f"start,phone,operator\n{row}\n2026-03-27 11:00:00,79007654321,Olga\n")
    for name in (
        "a/79001234567_20260327092515.wav",
        "b/79001234567_20260327092519.wav",
        "b/79007654321_20260327110001.wav",
    ):
        archive.recording(name)
    archive.settings(
        f"""
        [metadata]
        timezone = "Europe/Moscow"
        names = '(?P<client>[0-9]+)_(?P<began>[0-9]{{14}})'
        [[metadata.table]]
        file = "{archive.folder}/cdr.csv"
        match = {{ number = ["phone"], time = "start", window = "5s", name_number = "client",
                   name_time = "began" }}
        [metadata.map]
        operator_name = "operator"
        origin = "'x'"
        """.replace("\n                   ", " ")
    )
    told = program("check", archive.folder, "--explain", "a/79001234567_20260327092515.wav")
    assert "table-shared" in told.said
    result = archive.upload(code=1)
    assert result["b/79007654321_20260327110001.wav"]["operator_name"] == "Olga"
    shared = [
        result["a/79001234567_20260327092515.wav"],
        result["b/79001234567_20260327092519.wav"],
    ]
    assert [each["code"] for each in shared] == ["table-shared"] * 2
    assert "b/79001234567_20260327092519.wav" in shared[0]["message"]
    assert "a/79001234567_20260327092515.wav" in shared[1]["message"]


def test_a_bare_name_in_two_folders_is_nobodys_row_from_night_to_night(archive, tables, calls):
    """Whichever of them a run meets first, and whichever came first."""
    for seconds, name in enumerate(("a/call.wav", "b/call.wav", "z/other.wav"), start=1):
        archive.recording(name, seconds)
    tables(row("call"), row("other", 28))
    for _ in range(2):
        found = archive.upload(code=1)
        assert found["z/other.wav"]["operator_id"] == "204"
        assert found["a/call.wav"]["code"] == found["b/call.wav"]["code"] == "table-shared"
        assert "cdr.csv, line 2 may be of another recording as well: b/call.wav" in str(
            found["a/call.wav"]
        )
        assert "a/call.wav" in found["b/call.wav"]["message"]
    # The one that is left out has no right to the row.
    found = archive.upload("--exclude", "b/*")
    assert found["a/call.wav"]["operator_id"] == "204"
    # One that is uploaded keeps it, also when its row is written again.
    tables(row("call", billsec=30), row("other", 28))
    found = archive.upload(code=1)
    assert found["b/call.wav"]["code"] == "table-shared"
    assert calls.manifest()["a/call.wav"]["status"] == "uploaded"
    # A row that names the folder is its own.
    tables(row("a/call"), row("b/call", 29), row("other", 28))
    archive.settings(TABLE.replace('"stem"', '"path"'))
    assert archive.upload()["b/call.wav"]["date"] == "2026-03-29T09:25:17+03:00"


def test_another_recording_of_a_name_that_was_uploaded_does_not_get_its_row(archive, tables, calls):
    archive.recording("b/call.wav")
    tables(row("call"))
    archive.upload()
    archive.recording("a/call.wav", 2)
    found = archive.upload(code=1)
    assert found["a/call.wav"]["code"] == "table-shared"
    assert "b/call.wav" in found["a/call.wav"]["message"]
    # The first one was moved there: it is the same call.
    (calls.folder / "b" / "call.wav").replace(calls.folder / "a" / "call.wav")
    found = archive.upload()
    assert calls.manifest()["a/call.wav"]["status"] == "duplicate"


def test_a_copy_of_a_recording_has_its_row(archive, tables, calls):
    for name in ("a/call.wav", "b/other.wav"):
        archive.recording(name)
    (calls.folder / "copy").mkdir()
    shutil.copy2(calls.folder / "a" / "call.wav", calls.folder / "copy" / "call.wav")
    tables(row("call"), row("other", 28))
    archive.upload()
    states = sorted(line["status"] for line in calls.manifest().values())
    assert states == ["duplicate", "uploaded", "uploaded"]
