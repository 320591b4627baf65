"""Which row is a recording's: by path, name, id, or number and time; and the rule among several."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.table_harness import Folder, as_csv, wanted

from batch_uploader.core.errors import ConfigError
from batch_uploader.prepare.about.tables import names
from batch_uploader.prepare.about.values import Values


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def about(folder, rows, path, *, header=("uid", "recordingfile"), **more):
    groups = more.pop("groups", {})
    folder.write("cdr.csv", as_csv([header, *rows]))
    with folder.table("cdr.csv", **more) as table:
        return table.about(wanted(path, **groups))


MONITOR = "/var/spool/asterisk/monitor/"


@pytest.mark.parametrize(
    ("column", "path"),
    [
        ("2026/03/27/out-1.wav", "2026/03/27/out-1.wav"),
        (MONITOR + "2026/03/27/out-1.wav", "2026/03/27/out-1.wav"),
        (MONITOR + "2026/03/27/out-1.wav", "archive/2026/03/27/out-1.mp3"),
        ("out-1.wav", "2026/03/27/out-1.wav"),
        ("out-1.wav49", "2026/03/27/out-1.WAV"),
        ("out-1", "2026/03/27/out-1.mp3"),
        ("out-1.wav", "out-1.wav.mp3"),
        ("OUT-1.WAV", "2026/03/27/out-1.wav"),
        ("D:\\rec\\27\\out-1.wav", "27/out-1.wav"),
        ("https://pbx/rec/27/out%2D1.wav?token=a/b", "27/out-1.wav"),
        ("27/out-1.wav", "27/out%2D1.wav"),
        (unicodedata.normalize("NFD", "Йод.wav"), "27/" + unicodedata.normalize("NFC", "йод.wav")),
        ("1774592717.512", "2026/1774592717.512.wav"),
        ("id_20260327T09:25_UTC.wav", "id_20260327T09_25_UTC.wav"),
        ("[out-1.wav, out-2.wav]", "out-2.mp3"),
    ],
)
@pytest.mark.parametrize("by", ["path", "name", "stem"])
def test_names_that_mean_one_recording(folder, column, path, by):
    found = about(folder, [["other", "x/other.wav"], ["mine", column]], path, by=by)
    assert found == Values("table", {"uid": "mine", "recordingfile": column}, "cdr.csv, line 3")


def test_a_row_of_another_folder_is_not_taken_by_path(folder):
    rows = [["a", "101/call.wav"]]
    assert about(folder, rows, "102/call.wav") is None
    assert about(folder, rows, "102/call.wav", by="name").fields["uid"] == "a"


def test_rows_without_a_recording_s_name_are_no_errors(folder):
    folder.write("cdr.csv", as_csv([("uid", "recordingfile"), ["a", ""], ["b", "[]"], ["c", " "]]))
    with folder.table("cdr.csv") as table:
        assert (table.rows, table.fault_count) == (3, 0)
        assert table.about(wanted("x.wav")) is None


def test_one_name_in_several_folders_is_told_apart_by_them(folder):
    rows = [["a", "/rec/101/call.wav"], ["b", "/rec/102/call.wav"]]
    for by in ("path", "name"):
        assert about(folder, rows, "102/call.wav", by=by).fields["uid"] == "b"
    [defect] = about(folder, rows, "call.wav")
    assert defect.kind == "table-ambiguous"
    assert defect.path == "call.wav"
    assert "cdr.csv, line 2 and cdr.csv, line 3" in defect.message


def test_the_own_extension_comes_before_another_one(folder):
    rows = [["a", "call.wav"], ["b", "call.mp3"]]
    assert about(folder, rows, "call.mp3").fields["uid"] == "b"
    assert about(folder, rows, "call.wav").fields["uid"] == "a"


def test_an_id_in_the_name(folder):
    rows = [["1774592717.512", ""], ["1774592717.513", ""]]
    found = about(
        folder, rows, "x.wav", column="uid", by="uniqueid", groups={"uniqueid": "1774592717.513"}
    )
    assert found.origin == "cdr.csv, line 3"
    assert about(folder, rows, "x.wav", column="uid", by="uniqueid") is None


def test_ids_that_differ_by_case_are_different(folder):
    rows = [["MToxMDAw", "a"], ["mtoxmdaw", "b"]]
    found = about(folder, rows, "x.wav", column="uid", by="id", groups={"id": "mtoxmdaw"})
    assert found.fields["recordingfile"] == "b"
    [defect] = about(folder, rows, "x.wav", column="uid", by="id", groups={"id": "mtoxMDaw"})
    assert defect.kind == "table-ambiguous"


def test_an_id_may_be_made_fit_for_the_name_of_a_file(folder):
    rows = [["TToxMD/+AA==", "one"], ["TToxMD/+AB==", "other"], ["20260327T09:25", "third"]]
    for uid, name in (("TToxMD_-AA==", "one"), ("20260327T09_25", "third")):
        found = about(folder, rows, f"{uid}.mp3", column="uid", by="id", groups={"id": uid})
        assert found.fields["recordingfile"] == name


SEVERAL = [
    ["NO ANSWER", "", "9", "call.wav"],
    ["ANSWERED", "PJSIP/204-1", "31", "call.wav"],
    ["ANSWERED", "PJSIP/205-1", "100", "call.wav"],
    ["BUSY", "", "1000", "call.wav"],
]


def test_a_column_that_is_the_same_for_all_is_not_read_into_memory(folder):
    rows = [[str(number), "recording.wav"] for number in range(1500)]
    [defect] = about(folder, rows, "recording.wav", choose=["longest uid"])
    assert defect.kind == "table-several"
    assert "cdr.csv has 1,000 rows or more" in defect.message


STATES = ("disposition", "dstchannel", "billsec", "recordingfile")


def test_several_rows_of_a_recording_are_a_defect_that_names_them(folder):
    [defect] = about(folder, SEVERAL, "call.wav", header=STATES)
    assert defect.kind == "table-several"
    assert all(f"cdr.csv, line {line}" in defect.message for line in (2, 3, 4, 5))


def test_only_the_pattern_is_one_whatever_folders_are_called(tmp_path):
    (tmp_path / "calls [2026]*").mkdir()
    folder = Folder(tmp_path / "calls [2026]*")
    folder.write("cdr-1.csv", as_csv([("uid", "recordingfile"), ["a", "x.wav"]]))
    for pattern in ("cdr-*.csv", str(folder.path / "cdr-?.csv")):
        with folder.table(pattern) as table:
            assert table.about(wanted("x.wav")).origin == "cdr-1.csv, line 2"


def test_identical_rows_are_one(folder):
    folder.write("cdr-1.csv", as_csv([("uid", "recordingfile"), ["a", "x.wav"], ["a", "x.wav"]]))
    folder.write("cdr-2.csv", as_csv([("uid", "recordingfile"), ["b", "y.wav"], ["a", "x.wav"]]))
    with folder.table("cdr-*.csv") as table:
        assert table.about(wanted("x.wav")).origin == "cdr-1.csv, line 2"
        assert table.about(wanted("y.wav")).origin == "cdr-2.csv, line 2"


@pytest.mark.parametrize(
    ("choose", "billsec"),
    [
        (["answered", "longest billsec"], "100"),
        (["longest billsec"], "1000"),
        (["shortest billsec"], "9"),
        (["answered", "first dstchannel"], "31"),
        (["answered", "last dstchannel"], "100"),
        (["nobody", "longest billsec"], "1000"),
    ],
)
def test_the_declared_rule_chooses(folder, choose, billsec):
    conditions = {
        "answered": lambda row: row["disposition"] == "ANSWERED",
        "nobody": lambda _: False,
    }
    found = about(
        folder, SEVERAL, "call.wav", header=STATES, choose=choose, compiled=conditions.__getitem__
    )
    assert found.fields["billsec"] == billsec


def test_a_rule_that_leaves_several_is_a_defect(folder):
    [defect] = about(folder, SEVERAL, "call.wav", header=STATES, choose=["longest recordingfile"])
    assert defect.kind == "table-several"


def test_a_rule_or_a_match_by_a_column_that_is_not_there(folder):
    with pytest.raises(ConfigError, match=r"choose: there is no column talk.*billsec"):
        about(folder, SEVERAL, "call.wav", header=STATES, choose=["longest talk"])
    with pytest.raises(ConfigError, match=r"cdr.csv: match: it has no column file.*disposition"):
        about(folder, SEVERAL, "call.wav", header=STATES, column="file")


BY_TIME = {
    "match": {"number": ["src", "dst"], "time": "calldate", "window": "5s"},
    "header": ("calldate", "src", "dst"),
}


def by_time(folder, rows, paths, **match):
    """What is said of recordings whose names have a number and a time."""
    folder.write("cdr.csv", as_csv([BY_TIME["header"], *rows]))
    with folder.table("cdr.csv", match=BY_TIME["match"] | match) as table:
        return [table.about(by_its_name(path)) for path in paths]


def by_its_name(path):
    client, start = path.removesuffix(".wav").split("_")
    return wanted(path, client=client, start=start)


def test_number_and_time(folder):
    rows = [
        ["2026-03-27 09:25:17", "8 (900) 123-45-67", "204"],
        ["2026-03-27 09:25:17", "204", "+7 900 123-45-68 доб. 12"],
        ["27.03.2026 10:25", "sip:79001234567@pbx", "205"],
        ["missed", "", ""],
    ]
    names = [
        "79001234567_20260327092519",
        "79001234568_2026-03-27 09-25-13",
        "9001234567_20260327102455",
    ]
    found = by_time(folder, rows, [f"{name}.wav" for name in names])
    assert [each.origin for each in found] == [f"cdr.csv, line {line}" for line in (2, 3, 4)]
    assert by_time(folder, rows, ["79001234567_20260327092523.wav"]) == [None]


def test_times_of_different_zones_need_one(folder):
    rows = [["1774592717", "79001234567", "204"]]
    with pytest.raises(ConfigError, match="specify timezone"):
        by_time(folder, rows, ["79001234567_20260327092517.wav"])


def test_local_names_and_rows_in_utc(folder):
    folder.write(
        "cdr.csv", as_csv([BY_TIME["header"], ["2026-03-27T06:25:17Z", "79001234567", ""]])
    )
    with folder.table("cdr.csv", match=BY_TIME["match"], timezone="Europe/Moscow") as table:
        recording = wanted("a.wav", client="79001234567", start="20260327-092517")
        assert table.about(recording).origin == "cdr.csv, line 2"


def test_two_candidates_are_a_defect_that_names_both(folder):
    rows = [
        ["2026-03-27 09:25:17", "79001234567", "1"],
        ["2026-03-27 09:25:20", "79001234567", "2"],
    ]
    [[defect]] = by_time(folder, rows, ["79001234567_20260327092518.wav"])
    assert defect.kind == "table-ambiguous"
    assert "cdr.csv, line 2 and cdr.csv, line 3" in defect.message


def test_a_condition_says_which_rows_are_candidates(folder):
    rows = [
        ["2026-03-27 09:25:17", "79001234567", "1"],
        ["2026-03-27 09:25:20", "79001234567", "2"],
    ]
    folder.write("cdr.csv", as_csv([BY_TIME["header"], *rows]))
    recording = wanted("a.wav", client="79001234567", start="20260327092518")
    more = {"match": BY_TIME["match"], "compiled": lambda _: lambda row: row["dst"] == "2"}
    with folder.table("cdr.csv", choose=["dst == '2'"], **more) as table:
        assert table.about(recording).origin == "cdr.csv, line 3"
    with folder.table("cdr.csv", choose=["longest dst"], **more) as table:
        [defect] = table.about(recording)  # the longest of two calls is no answer
        assert defect.kind == "table-ambiguous"


def test_a_row_whose_time_cannot_be_read_is_told(folder):
    folder.write("cdr.csv", as_csv([BY_TIME["header"], ["yesterday", "79001234567", ""]]))
    with folder.table("cdr.csv", match=BY_TIME["match"]) as table:
        [fault] = table.faults()
    assert fault.path == "cdr.csv"
    assert fault.field == "calldate"
    assert fault.message == "line 2: yesterday is not a time that is recognised"


@given(st.text(st.sampled_from("aЙй́/\\.%2D:wavmp3 "), max_size=30))
def test_the_base_name_is_the_last_part(text):
    found = names.parts(text)
    assert names.base(text) == (found[-1] if found else "")
