"""One file that describes all recordings of a folder: which record is about which of them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.test_foreign_sidecars import Disk, defect_of, values_of

from batch_uploader.core.model import Entry
from batch_uploader.prepare.about.foreign import DeclaredSidecar, Sidecar, SidecarReader

WORKFLOW = {
    "source_system_id": "000001",
    "metadata": [
        {"id": "0", "file_name": "call0.mp3"},
        {"id": "1", "file_name": "call1.mp3"},
        {"id": "2", "file_name": "sub/call1.mp3"},
    ],
}


def of_folder(tree, recording, records="metadata", match="file_name"):
    return values_of(
        tree,
        recording=recording,
        path="metadata.json",
        name="metadata.json",
        records=records,
        match=match,
    )


def test_one_file_describes_the_recordings_of_a_folder():
    assert of_folder(WORKFLOW, "in/call0.mp3") == {
        "source_system_id": "000001",
        "id": "0",
        "file_name": "call0.mp3",
    }
    assert of_folder(WORKFLOW, "in/call7.mp3") is None


def test_of_files_of_one_name_the_one_in_the_same_folder_counts():
    assert of_folder(WORKFLOW, "in/sub/call1.mp3")["id"] == "2"
    assert of_folder(WORKFLOW, "in/other/call1.mp3")["id"] == "1"
    # Here it is unclear which one is meant: the name of the outermost folder is not known.
    assert of_folder(WORKFLOW, "call1.mp3")[0].kind == "sidecar-two-records"


@pytest.mark.parametrize(
    "named",
    [
        "call.wav",
        "call",
        "CALL.WAV",
        "call.mp3",
        "/var/spool/monitor/call.wav",
        r"C:\records\call.wav",
        "https://records.example/2026/call.wav?key=a/b#c",
        "s3://bucket/call%2Ewav",
    ],
)
def test_a_record_may_name_its_file_in_many_ways(named):
    assert of_folder({"metadata": [{"file_name": named, "id": 7}]}, "in/call.wav")["id"] == 7


def test_a_name_is_compared_in_its_composed_form():
    tree = {"metadata": [{"file_name": "й.wav", "id": 7}]}
    assert of_folder(tree, "и\u0306.wav")["id"] == 7


def test_the_exact_name_counts_before_the_others():
    tree = {"metadata": [{"file_name": name} for name in ("call.WAV", "call.wav", "call.mp3")]}
    for name in ("call.WAV", "call.wav", "call.mp3"):
        assert of_folder(tree, name) == {"file_name": name}


def test_records_that_say_the_same_are_one():
    record = {"file_name": "a.wav", "id": 1}
    assert of_folder({"metadata": [record, record]}, "a.wav")["id"] == 1
    defect = of_folder({"metadata": [record, {**record, "id": 2}]}, "a.wav")[0]
    assert defect.kind == "sidecar-two-records"
    assert "metadata[0], metadata[1]" in defect.message


def test_records_may_lie_deeper_or_be_the_whole_file_or_be_named():
    record = {"file": {"name": "a.wav"}, "id": 1}
    deep = {"x": {"list": [record], "y": 2}, "z": 3}
    assert of_folder(deep, "a.wav", "x.list", "file.name") == {**record, "z": 3}
    assert of_folder([record], "a.wav", None, "file.name") == record
    assert of_folder({"x": {"a.wav": {"id": 1}}}, "a.wav", "x", None) == {"id": 1}
    # A file with one recording may have an object in place of the list.
    assert of_folder({"x": record}, "a.wav", "x", "file.name") == record


def test_a_file_without_records_is_about_each_recording_of_its_folder():
    tree = {"callerPhoneNumber": "79001234567", "startTime": "2026-03-27T09:25:17+0000"}
    assert of_folder(tree, "rec/one.mp3", None, None) == tree
    assert of_folder(tree, "rec/two.mp3", None, None) == tree


@pytest.mark.parametrize(
    ("tree", "records", "match", "word"),
    [
        (WORKFLOW, "records", "file_name", "metadata"),
        (WORKFLOW, "metadata.deeper", "file_name", "metadata.deeper"),
        (WORKFLOW, "metadata", "file", "file"),
        (WORKFLOW, "metadata", None, "match"),
        ([1, 2], None, None, "match"),
    ],
)
def test_records_that_are_not_where_they_should_be_are_named(tree, records, match, word):
    defect = defect_of(
        tree, name="metadata.json", path="metadata.json", records=records, match=match
    )
    assert defect.kind == "sidecar-records"
    assert word in str(defect)


def test_the_origin_says_which_record():
    data = json.dumps(WORKFLOW).encode()
    reader = SidecarReader(Disk(**{"metadata.json": data}))
    sidecar = Sidecar(
        DeclaredSidecar("metadata.json", records="metadata", match="file_name"),
        Entry("metadata.json", len(data), 1),
    )
    (found,) = reader.values("in/call1.mp3", [sidecar])
    assert found.origin == "metadata.json, metadata[1]"


def test_a_file_of_a_folder_is_read_once_until_it_changes():
    disk = Disk(**{"a/m.json": b'{"x": 1}', "b/m.json": b'{"x": 2}', "c/m.json": b'{"x": 3}'})
    reader = SidecarReader(disk)
    declared = DeclaredSidecar("m.json")

    def read(path, mtime=1):
        (found,) = reader.values("a.wav", [Sidecar(declared, Entry(path, 8, mtime))])
        return found.fields["x"]

    assert [read("a/m.json") for _ in range(3)] == [1, 1, 1]
    assert disk.read == ["a/m.json"]
    disk.files["a/m.json"] = b'{"x": 9}'
    assert read("a/m.json", mtime=2) == 9
    # Only the last two are kept, so that memory does not grow with the folders.
    assert [read(path) for path in ("b/m.json", "c/m.json", "a/m.json")] == [2, 3, 9]
    assert disk.read == ["a/m.json", "a/m.json", "b/m.json", "c/m.json", "a/m.json"]


@given(
    st.lists(st.text("abжЙ./\\%:", min_size=1, max_size=8), max_size=8),
    st.text("abжЙ.", min_size=1),
)
def test_any_names_give_a_record_a_defect_or_nothing(names, recording):
    tree = {"metadata": [{"file_name": name, "id": n} for n, name in enumerate(names)]}
    found = of_folder(tree, f"in/{recording}")
    exact = [n for n, name in enumerate(names) if name == recording]
    if len(exact) == 1:
        assert isinstance(found, tuple) or recording in str(found["file_name"])
