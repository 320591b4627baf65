"""No two recordings get one row, whichever of them is asked about first."""

import pytest
from support.table_harness import Folder, as_csv, wanted

from batch_uploader.prepare.about.tables.recordings import Recordings
from batch_uploader.prepare.about.tables.sharing import Rivals
from batch_uploader.sources.memory import MemorySource


@pytest.fixture
def folder(tmp_path):
    made = Folder(tmp_path)
    made.indexes.mkdir()
    return made


def asked(folder, rows, contents, *, groups=lambda _: {}, gone=frozenset(), **more):
    """The uids, or what the defects name, of recordings with this content, or of this size."""
    folder.write("cdr.csv", as_csv([more.pop("header", ("uid", "recordingfile")), *rows]))
    source = MemorySource(
        {path: bytes(content) for path, content in contents.items() if path not in gone}
    )
    with (
        Recordings(folder.indexes / "recordings.db") as recordings,
        folder.table("cdr.csv", recordings=recordings, **more) as table,
    ):
        table.announce({path: path for path in contents}, lambda path: wanted(path, **groups(path)))
        return {
            path: said(table.about(wanted(path, **groups(path)), Rivals(source)))
            for path in contents
            if path not in gone
        }


def said(found):
    if not isinstance(found, tuple):
        return found and found.fields["uid"]
    [defect] = found
    assert defect.kind == "table-shared"
    origin, _, others = defect.message.partition(" may be of another recording as well: ")
    assert origin == "cdr.csv, line 2"
    return others.split(" and ")


@pytest.mark.parametrize("by", ["path", "name", "stem"])
@pytest.mark.parametrize("column", ["call.wav", "call"])
def test_a_bare_name_in_two_folders_is_a_defect_of_both(folder, by, column):
    contents = {"101/call.wav": 1, "102/call.wav": 2, "other/other.wav": 3}
    assert asked(folder, [["a", column], ["b", "other.wav"]], contents, by=by) == {
        "101/call.wav": ["102/call.wav"],
        "102/call.wav": ["101/call.wav"],
        "other/other.wav": "b",
    }


def test_a_row_that_names_a_folder_is_of_the_recording_there(folder):
    contents = {"101/call.wav": 1, "102/call.wav": 2, "call.wav": 3}
    for by, other in (("path", None), ("name", ["101/call.wav"])):
        assert asked(folder, [["a", "101/call.wav"]], contents, by=by) == {
            "101/call.wav": "a",
            "102/call.wav": other,
            "call.wav": ["101/call.wav"],
        }


def test_a_recording_with_a_row_of_its_own_wants_no_other(folder):
    rows = [["a", "call.wav"], ["b", "rec/102/call.wav"]]
    found = asked(folder, rows, {"101/call.wav": 1, "102/call.wav": 2})
    assert found == {"101/call.wav": "a", "102/call.wav": "b"}


def test_as_many_folders_of_a_row_may_fit_two_recordings(folder):
    contents = {"2025/27/call.wav": 1, "2026/27/call.wav": 2, "2026/28/call.wav": 3}
    assert asked(folder, [["a", "/monitor/27/call.wav"]], contents) == {
        "2025/27/call.wav": ["2026/27/call.wav"],
        "2026/27/call.wav": ["2025/27/call.wav"],
        "2026/28/call.wav": None,
    }


def test_copies_and_conversions_get_their_row_and_are_told_apart_when_they_are_read(folder):
    rows = [["a", "call.wav"]]
    copies = {"101/call.wav": 9, "copy/call.wav": 9}
    assert asked(folder, rows, copies) == dict.fromkeys(copies, "a")
    converted = {
        "101/call.wav": 9,
        "101/call.mp3": 2,
        "mp3/call.mp3": 2,
        "101/call.WAV": 3,
    }
    assert asked(folder, rows, converted) == dict.fromkeys(converted, "a")


def test_files_of_one_size_are_not_copies_if_they_sound_otherwise(folder):
    long = bytes(200_000)
    contents = [b"x" + long[1:], long[1:] + b"x", long[:100_000] + b"x" + long[100_001:]]
    for content, copies in [(long, True), *((each, False) for each in contents)]:
        found = asked(folder, [["a", "call.wav"]], {"1/call.wav": long, "2/call.wav": content})
        assert found == (
            dict.fromkeys(found, "a")
            if copies
            else {
                "1/call.wav": ["2/call.wav"],
                "2/call.wav": ["1/call.wav"],
            }
        )


def test_recordings_of_one_length_that_begin_and_end_in_silence_are_several_calls(folder):
    silence = bytes(1_000_000)
    contents = {f"{n}/call.wav": silence + bytes([n]) * 200_000 + silence for n in (1, 2)}
    assert asked(folder, [["a", "call.wav"]], contents) == {
        "1/call.wav": ["2/call.wav"],
        "2/call.wav": ["1/call.wav"],
    }


def test_a_call_of_two_legs_is_where_these_are(folder):
    folder.write("cdr.csv", as_csv([("uid", "recordingfile"), ["a", "call.wav"]]))
    source = MemorySource({f"{n}/call-in.wav": bytes(n) for n in (1, 2)})
    with (
        Recordings(folder.indexes / "recordings.db") as recordings,
        folder.table("cdr.csv", recordings=recordings) as table,
    ):
        table.announce({f"{n}/call.wav": f"{n}/call-in.wav" for n in (1, 2)}, wanted)
        assert said(table.about(wanted("1/call.wav"), Rivals(source))) == ["2/call.wav"]


def test_the_names_of_one_call_are_no_rivals(folder):
    """A call of two legs has their names and that of its mix; its copy has them as well."""
    folder.write(
        "cdr.csv", as_csv([("uid", "start", "src"), ["a", "2026-03-27 09:25:17", "79001234567"]])
    )
    call, legs = "79001234567_20260327092517", ("", "-in", "-out")
    source = MemorySource({f"{at}/{call}{leg}.wav": b"x" for at in ("1", "copy") for leg in legs})
    files = {f"{at}/{call}{leg}.wav": f"{at}/{call}-in.wav" for at in ("1", "copy") for leg in legs}

    def at(path):
        return wanted(path, client=call[:11], start=call[12:])

    with (
        Recordings(folder.indexes / "recordings.db") as recordings,
        folder.table(
            "cdr.csv", recordings=recordings, match={"number": ["src"], "time": "start"}
        ) as table,
    ):
        table.announce(files, at)
        assert said(table.about(at(f"1/{call}.wav"), Rivals(source))) == "a"
        other = "x/79001234567_20260327092518-in.wav"
        source.put(other, b"x")
        table.announce({other.replace("-in", ""): other}, at)
        assert said(table.about(at(f"1/{call}.wav"), Rivals(source))) == [
            f"copy/{call}-in.wav",
            other.replace("-in", ""),
        ]


def test_the_conversion_of_one_of_two_calls_is_not_told_apart_either(folder):
    contents = {"101/call.wav": 1, "102/call.wav": 2, "101/call.mp3": 3}
    found = asked(folder, [["a", "call.wav"]], contents)
    assert found["101/call.mp3"] == ["101/call.wav", "102/call.wav"]
    assert found["101/call.wav"] == ["102/call.wav"]


def test_a_name_that_differs_by_case_has_no_right_to_the_row(folder):
    found = asked(folder, [["a", "call.wav"]], {"call.wav": 1, "Call.wav": 2})
    assert found == {"call.wav": "a", "Call.wav": ["call.wav"]}


def test_what_is_gone_or_excluded_wants_nothing(folder):
    contents = {"101/call.wav": 1, "102/call.wav": 2}
    assert asked(folder, [["a", "call.wav"]], contents, gone={"101/call.wav"}) == {
        "102/call.wav": "a"
    }
    # It was announced by an earlier run.
    del contents["102/call.wav"]
    contents["103/call.wav"] = 3
    assert asked(
        folder, [["a", "call.wav"]], contents | {"102/call.wav": 2}, gone={"101/call.wav"}
    )["103/call.wav"] == ["102/call.wav"]


def test_recordings_of_one_conversation_share_its_row_by_an_id(folder):
    more = {"column": "uid", "by": "id", "groups": lambda path: {"id": path[-12:-6]}}
    contents = {
        "x/774592_1.wav": 1,
        "x/774592_2.wav": 2,
        "y/774593_1.wav": 3,
        "z/774593_1.wav": 4,
    }
    assert asked(folder, [["774593", ""], ["774592", ""]], contents, **more) == {
        "x/774592_1.wav": "774592",
        "x/774592_2.wav": "774592",
        "y/774593_1.wav": ["z/774593_1.wav"],
        "z/774593_1.wav": ["y/774593_1.wav"],
    }


def test_a_number_and_a_time_that_fit_two_recordings(folder):
    first, second = "79001234567_20260327092518.wav", "89001234567_20260327092520.wav"
    found = {}
    for gone in (set(), {first}):
        found = asked(
            folder,
            [["a", "2026-03-27 09:25:17", "79001234567"]],
            {first: 1, second: 1},
            header=("uid", "calldate", "src"),
            match={"number": ["src"], "time": "calldate", "window": "5s"},
            groups=lambda path: dict(zip(("client", "start"), path[:-4].split("_"), strict=True)),
            gone=gone,
        )
        if not gone:
            assert found == {first: [second], second: [first]}
    assert found == {second: "a"}


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" + bytes(200), b"nothing"])
def test_recordings_that_cannot_be_read_are_made_once_more(folder, content):
    path = folder.indexes / "recordings.db"
    path.write_bytes(content)
    path.chmod(0o600)
    # What a kill left of a change of the damaged file.
    journal = path.with_name("recordings.db-journal")
    journal.write_bytes(bytes(1000))
    with Recordings(path) as made:
        assert not journal.exists()
        made.add([("a.wav", "a.wav", 1, None)])
        assert made.found(1, None) == {"a.wav": "a.wav"}
        before = made.id
    with Recordings(path) as again:
        assert (again.id, again.found(1, None)) == (before, {"a.wav": "a.wav"})


def test_what_changes_in_a_table_leads_to_its_recordings(folder):
    folder.write("cdr.csv", as_csv([("uid", "recordingfile"), ["a", "x/a.wav"], ["b", "b.wav"]]))

    def table(run):
        with (
            Recordings(folder.indexes / "recordings.db") as recordings,
            folder.table("cdr.csv", recordings=recordings) as opened,
        ):
            return run(opened)

    paths = [f"x/{number}.wav" for number in range(3000)] + ["x/a.wav", "x/b.wav", "y/b.mp3"]
    table(lambda opened: opened.announce({path: path for path in paths}, wanted))
    before = table(lambda opened: opened.generation)
    assert table(lambda opened: opened.touched_since(before)) == frozenset()
    assert table(lambda opened: opened.touched_since("")) is None
    more = [["c", f"{number}.wav"] for number in range(0, 6000, 2)]
    folder.append("cdr.csv", as_csv([["c", "b.wav"], *more]))
    touched = {f"x/{number}.wav" for number in range(0, 3000, 2)}
    assert table(lambda opened: opened.touched_since(before)) == touched | {"x/b.wav", "y/b.mp3"}
    (folder.indexes / "recordings.db").unlink()
    assert table(lambda opened: opened.touched_since(before)) is None
