"""Which sidecar belongs to which recording."""

import re
import time
import tracemalloc
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_uploader.core.model import Defect, Entry, Listing
from batch_uploader.core.naming import is_sidecar, stem
from batch_uploader.prepare.bundle import bundle_of
from batch_uploader.prepare.pairing import Orphan, pair
from batch_uploader.sources.selection import Selection


def is_audio(path):
    return path.lower().endswith((".wav", ".mp3", ".bare"))


def entry(path, size=1):
    return Entry(path, size, 1)


def paired(*paths, unreadable=()):
    """The pairs as names, and the orphans as names with their kinds."""
    lost = tuple(Defect(path, "symlink", "it is a link", "copy it") for path in unreadable)
    pairs, orphans = pair(Listing("", tuple(map(entry, paths)), lost), is_audio)
    return (
        {each.path: each.sidecar.path if each.sidecar else None for each in pairs},
        {each.entry.path: each.defect.kind for each in orphans},
    )


@pytest.mark.parametrize(
    ("audio", "sidecar"),
    [
        ("call.wav", "call.json"),
        ("call.wav", "call.wav.json"),
        ("CALL.WAV", "CALL.json"),
        ("CALL.WAV", "CALL.JSON"),
        ("CALL.WAV", "CALL.WAV.Json"),
        ("a.b/call.one.mp3", "a.b/call.one.json"),
        ("звонок.wav", "звонок.json"),
    ],
)
def test_a_sidecar_is_named_like_its_recording(audio, sidecar):
    assert paired(audio, sidecar) == ({audio: sidecar}, {})
    assert paired(sidecar, audio) == ({audio: sidecar}, {})


def test_a_pair_holds_the_entries_themselves():
    audio, sidecar = entry("call.wav", 100), entry("call.json", 10)

    assert pair(Listing("", (audio, sidecar)), is_audio) == ([bundle_of(audio, sidecar)], [])


def test_a_recording_alone_is_a_pair_without_a_sidecar_fault_61():
    assert paired("call.wav") == ({"call.wav": None}, {})


def test_a_sidecar_alone_is_an_orphan_fault_61():
    assert paired("call.json", "other.wav") == (
        {"other.wav": None},
        {"call.json": "orphan-sidecar"},
    )


def test_two_sidecars_are_a_defect_of_the_recording_that_names_both_fault_61():
    paths = ("call.wav", "call.json", "call.wav.json")

    assert paired(*paths) == ({}, {"call.wav": "two-sidecars"})
    _, (orphan,) = pair(Listing("", tuple(map(entry, paths))), is_audio)
    assert "call.json, call.wav.json" in orphan.defect.message
    assert orphan.defect.path == orphan.entry.path == "call.wav"


def test_two_sidecars_that_differ_in_the_case_of_their_extension_are_two_fault_61():
    assert paired("call.wav", "call.json", "call.JSON") == ({}, {"call.wav": "two-sidecars"})
    assert set(paired("call.json", "call.JSON")[1]) == {"call.json", "call.JSON"}


def test_a_sidecar_for_two_recordings_is_a_defect_of_both_with_a_cure_for_each():
    entries = tuple(map(entry, ("f/call.wav", "f/call.mp3", "f/call.json")))

    pairs, orphans = pair(Listing("f", entries), is_audio)

    assert pairs == []
    cures = {orphan.entry.path: orphan.defect.cure for orphan in orphans}
    assert {orphan.defect.kind for orphan in orphans} == {"shared-sidecar"}
    assert "call.wav.json" in cures["f/call.wav"]
    assert "call.mp3.json" in cures["f/call.mp3"]


@pytest.mark.parametrize(
    ("names", "first", "cure"),
    [
        ("call.wav call.mp3", "call.mp3 was made of call.wav", "--exclude '*.mp3'"),
        ("call.opus call.mp3", "call.opus was made of call.mp3", "--exclude '*.opus'"),
        (
            "call.ogg call.WAV call.MP3",
            "call.MP3 and call.ogg were made of call.WAV",
            "--exclude '*.mp3' --exclude '*.ogg'",
        ),
        ("call.wav call.WAV", "call.wav was made of call.WAV", "remove call.wav"),
    ],
)
def test_the_first_cure_for_a_shared_sidecar_leaves_the_copies_out(names, first, cure):
    entries = tuple(map(entry, [*names.split(), "call.json"]))
    pairs, orphans = pair(Listing("", entries), lambda path: not is_sidecar(path))
    assert not pairs
    assert {orphan.entry.path for orphan in orphans} == set(names.split())
    for orphan in orphans:
        assert orphan.defect.cure.startswith(f"if {first}, ")
        assert f"{cure};" in orphan.defect.cure
        assert orphan.defect.cure.endswith("each is then billed")
    if patterns := re.findall("--exclude '(.*?)'", cure):
        kind = Selection(exclude=patterns).kind
        left = tuple(entry for entry in entries if not kind(entry.path).name.startswith("EXCLUDED"))
        pairs, orphans = pair(Listing("", left), lambda path: not is_sidecar(path))
        assert [len(pairs), len(orphans)] == [1, 0]
        assert pairs[0].sidecar


def test_the_cure_for_a_shared_sidecar_works():
    assert paired("call.wav", "call.mp3", "call.wav.json", "call.mp3.json") == (
        {"call.wav": "call.wav.json", "call.mp3": "call.mp3.json"},
        {},
    )


def test_one_with_a_sidecar_of_its_own_beside_a_shared_one_is_not_guessed_about():
    assert paired("call.wav", "call.mp3", "call.wav.json", "call.json") == (
        {},
        {"call.wav": "two-sidecars", "call.mp3": "shared-sidecar"},
    )


def test_a_full_name_wins_over_a_stem():
    assert paired("call.wav", "call.wav.wav", "call.wav.json") == (
        {"call.wav": "call.wav.json", "call.wav.wav": None},
        {},
    )


def test_names_that_differ_by_case_are_different_recordings_fault_40():
    assert paired("call.wav", "Call.wav", "Call.json") == (
        {"call.wav": None, "Call.wav": "Call.json"},
        {},
    )


def test_names_that_differ_by_normal_form_are_different_recordings_fault_40():
    nfc, nfd = (unicodedata.normalize(form, "й") for form in ("NFC", "NFD"))

    assert paired(f"{nfc}.wav", f"{nfd}.wav", f"{nfd}.json") == (
        {f"{nfc}.wav": None, f"{nfd}.wav": f"{nfd}.json"},
        {},
    )


def test_files_that_are_neither_are_left_out():
    assert paired("notes.txt", "call.flac", "call.wav") == ({"call.wav": None}, {})


def test_a_recording_is_not_sent_without_the_sidecar_that_cannot_be_read_fault_35():
    pairs, orphans = paired("call.wav", unreadable=["call.json"])

    assert (pairs, orphans) == ({}, {"call.wav": "sidecar-unreadable"})


def test_the_sidecar_of_a_recording_that_cannot_be_read_is_no_orphan_fault_35():
    assert paired("call.json", unreadable=["call.wav"]) == ({}, {})


@pytest.mark.parametrize(
    ("path", "short"),
    [("call.wav", "call"), ("call", "call"), ("a.b/call", "a.b/call"), ("f/.wav", "f/.wav")],
)
def test_a_stem_is_what_stands_before_the_last_dot_of_the_name(path, short):
    assert stem(path) == short


NAMES = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["a", "A", "b", "a.wav", "й"]),
        st.sampled_from(["", ".wav", ".WAV", ".mp3", ".txt"]),
        st.sampled_from(["", ".json", ".JSON"]),
    ),
)


@given(st.sets(NAMES), st.sets(NAMES, max_size=2))
def test_every_file_is_accounted_for_once(present, lost):
    present -= lost
    defects = tuple(Defect(path, "unreadable", "m", "c") for path in lost)
    pairs, orphans = pair(Listing("", tuple(map(entry, present)), defects), is_audio)

    audio = {path for path in present if not is_sidecar(path) and is_audio(path)}
    of_pairs = [each.path for each in pairs]
    of_orphans = [each.entry.path for each in orphans]
    assert len(set(of_pairs + of_orphans)) == len(of_pairs + of_orphans)
    assert {path for path in (*of_pairs, *of_orphans) if not is_sidecar(path)} == audio
    used = [each.sidecar.path for each in pairs if each.sidecar]
    assert len(set(used)) == len(used)
    assert set(used).isdisjoint(of_orphans)
    assert all(isinstance(each, Orphan) and each.defect.cure for each in orphans)


def test_a_hundred_thousand_files_in_one_folder_take_a_moment_fault_41():
    entries = tuple(entry(f"f/{n:06}.{kind}") for n in range(50_000) for kind in ("wav", "json"))
    listing = Listing("f", entries)

    started = time.process_time()
    pairs, orphans = pair(listing, is_audio)
    assert time.process_time() - started < 5
    assert (len(pairs), orphans) == (50_000, [])

    tracemalloc.start()
    kept = pair(listing, is_audio)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(kept[0]) == 50_000
    assert peak < 60 * 1024 * 1024
