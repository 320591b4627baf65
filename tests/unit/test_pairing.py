"""Which sidecar belongs to which recording."""

import re
import time
import tracemalloc
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_uploader.core.model import Defect, Entry, Listing
from batch_uploader.core.naming import described, fold, is_sidecar, stem
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


COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Звонок Андрей") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("audio", "sidecar"),
    [
        ("Call.wav", "call.json"),
        ("CALL-0001.WAV", "call-0001.json"),
        ("CALL-0001.WAV", "call-0001.wav.JSON"),
        (f"{COMPOSED}.wav", f"{DECOMPOSED}.json"),
        (f"{DECOMPOSED}.wav", f"{COMPOSED}.wav.json"),
        (f"{COMPOSED.upper()}.wav", f"{DECOMPOSED}.json"),
    ],
)
def test_names_that_differ_only_in_case_or_composition_pair_fault_40(audio, sidecar):
    assert paired(audio, sidecar) == ({audio: sidecar}, {})
    assert paired(sidecar, "other.wav", audio) == ({"other.wav": None, audio: sidecar}, {})


def defects(*paths, unreadable=()):
    """The defects of the orphans, by path."""
    lost = tuple(Defect(path, "symlink", "it is a link", "copy it") for path in unreadable)
    _, orphans = pair(Listing("", tuple(map(entry, paths)), lost), is_audio)
    return {each.entry.path: each.defect for each in orphans}


def test_a_sidecar_that_two_may_mean_is_a_defect_of_both_that_names_them_fault_40():
    found = defects("Call.wav", "CALL.wav", "call.json")

    assert {path: defect.kind for path, defect in found.items()} == {
        "Call.wav": "similar-names",
        "CALL.wav": "similar-names",
    }
    problem = "call.json may belong to it or to CALL.wav: the names differ only in case"
    assert found["Call.wav"].message == problem
    assert "Call.wav.json" in found["Call.wav"].cure


def test_two_sidecars_that_one_may_mean_are_a_defect_that_names_them_fault_40():
    found = defects(f"{COMPOSED}.wav", f"{DECOMPOSED}.json", f"{COMPOSED.upper()}.json")

    assert list(found) == [f"{COMPOSED}.wav"]
    message = found[f"{COMPOSED}.wav"].message
    assert f"{DECOMPOSED}.json" in message
    assert f"{COMPOSED.upper()}.json" in message
    assert "case or the composition of their letters (NFC and NFD)" in message


def test_one_sidecar_for_two_formats_of_another_case_is_shared_with_the_cure_for_that_fault_40():
    found = defects("Call.wav", "Call.mp3", "call.json")

    assert {defect.kind for defect in found.values()} == {"shared-sidecar"}
    assert "--exclude '*.mp3'" in found["Call.wav"].cure


def test_a_sidecar_whose_recording_has_another_is_said_to_be_like_it_fault_40():
    found = defects("call.wav", "call.json", "CALL.json")

    assert list(found) == ["CALL.json"]
    assert found["CALL.json"].kind == "similar-names"
    assert "differs from that of call.wav only in case" in found["CALL.json"].message


def test_what_has_its_exact_sidecar_makes_another_name_ambiguous_fault_40():
    pairs, orphans = paired("call.wav", "call.json", "Call.wav", "CALL.json")

    assert pairs == {"call.wav": "call.json"}
    assert orphans == {"Call.wav": "similar-names"}


def test_what_cannot_be_read_counts_among_what_is_alike_fault_35():
    assert paired("Call.wav", unreadable=["call.json"]) == ({}, {"Call.wav": "sidecar-unreadable"})
    assert paired("call.json", unreadable=["Call.wav"]) == ({}, {})
    both = paired("CALL.wav", "call.json", unreadable=["Call.wav"])
    assert both == ({}, {"CALL.wav": "similar-names"})


def test_bytes_that_are_no_letters_have_no_case():
    escaped, literal = r"call\xab.wav", r"call\xAB.json"

    assert paired(escaped, literal) == ({escaped: None}, {literal: "orphan-sidecar"})


@pytest.mark.parametrize("leg", ["call-in.wav", "Call-IN.wav", "CALL_out.wav", "call.WAV-rx.wav"])
def test_one_side_of_a_call_is_known_by_its_name_in_any_case_fault_40(leg):
    bundles, _ = pair(Listing("", (entry("Call.wav"), entry(leg))), is_audio)
    assert {each.path: each.mix for each in bundles} == {"Call.wav": None, leg: "Call.wav"}


def test_a_leg_keeps_the_sidecar_of_a_similar_name_to_itself():
    assert paired("call.wav", "call.json", "call-in.wav", "CALL-IN.json") == (
        {"call.wav": "call.json", "call-in.wav": "CALL-IN.json"},
        {},
    )


CALLS = st.lists(
    st.sampled_from(["call", "straße", "Звонок й", "é-1", "İstanbul", "ΣΟΦΟΣ", r"\xe9", "a.wav"]),
    min_size=1,
    max_size=4,
    unique=True,
)


@st.composite
def renamed(draw, name):
    """A name as another system may write it: other case, other composition."""
    name = unicodedata.normalize(draw(st.sampled_from(["NFC", "NFD"])), name)
    other = draw(st.sampled_from([str, str.upper, str.lower, str.title]))(name)
    return other if fold(other) == fold(name) else name


@given(st.data(), CALLS)
def test_no_recording_gets_the_sidecar_of_another_call_fault_40(data, calls):
    # Each file knows its call; several systems may have written files of one call.
    files: dict[str, int] = {}
    for number, call in enumerate(calls):
        for _ in range(data.draw(st.integers(1, 3))):
            extension = data.draw(st.sampled_from([".wav", ".mp3", ".json", ".wav.json"]))
            files.setdefault(data.draw(renamed(call)) + extension, number)

    pairs, orphans = pair(Listing("", tuple(map(entry, files))), is_audio)

    told = [each.audio.path for each in pairs] + [each.entry.path for each in orphans]
    assert len(told) == len(set(told))
    used = [each.sidecar.path for each in pairs if each.sidecar]
    assert len(used) == len(set(used))
    for each in pairs:
        if each.sidecar is not None:
            assert files[each.audio.path] == files[each.sidecar.path]
    # Nothing is sent as if it had no sidecar while one may be meant for it.
    exact = {key for path in files if is_audio(path) for key in (path, stem(path))}
    lonely = {described(path) for path in files if is_sidecar(path)} - exact
    for each in pairs:
        if each.sidecar is None:
            full, short = fold(each.audio.path), fold(stem(each.audio.path))
            assert full not in map(fold, lonely)
            assert short not in map(fold, lonely) or short in map(fold, files)
    # A single recording and a single sidecar of one call always find each other.
    for number in range(len(calls)):
        mine = [path for path, call in files.items() if call == number]
        audio = [path for path in mine if is_audio(path)]
        if len(mine) == 2 and len(audio) == 1 and ".wav.json" not in "".join(mine):
            assert {*audio} <= {each.audio.path for each in pairs if each.sidecar}
