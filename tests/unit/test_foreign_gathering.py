"""Which recordings of a folder the sidecars of other systems describe."""

import asyncio
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_uploader.core.model import Defect, Entry, Listing
from batch_uploader.prepare.about.foreign import (
    DeclaredSidecar,
    gather,
    sidecars_of,
    version_of_more,
)
from batch_uploader.prepare.pairing import pair
from batch_uploader.sources.directory import DirectorySource
from batch_uploader.sources.memory import MemorySource

XML = DeclaredSidecar("{stem}.xml")
GENESYS = DeclaredSidecar("{name}_metadata.json")
FOLDER = DeclaredSidecar("metadata.json", records="metadata", match="file_name")


def is_audio(path):
    return path.lower().endswith((".wav", ".mp3"))


def listing(*paths, unreadable=()):
    lost = tuple(Defect(path, "symlink", "it is a link", "copy it") for path in unreadable)
    return Listing("", tuple(Entry(path, 1, 1) for path in paths), lost)


def gathered(declared, *paths, unreadable=()):
    """The sidecars of each recording, and the kinds of defects of what is left over."""
    bundles, orphans = gather(listing(*paths, unreadable=unreadable), is_audio, declared)
    return (
        {each.path: [entry.path for entry in each.about] for each in bundles},
        {each.entry.path: each.defect.kind for each in orphans},
    )


def test_a_declared_sidecar_describes_its_recording_and_is_no_orphan():
    files = ["d/a.wav", "d/a.xml", "d/b.mp3", "d/b.XML", "d/c.wav", "d/not-recorded.xml"]
    assert gathered([XML], *files) == (
        {"d/a.wav": ["d/a.xml"], "d/b.mp3": ["d/b.XML"], "d/c.wav": []},
        {},
    )


@pytest.mark.parametrize(
    ("sidecars", "about"),
    [
        (["a-in.xml"], ["a-in.xml"]),
        (["a-out.xml"], ["a-out.xml"]),
        (["a-in.xml", "a-out.xml", "a.xml"], ["a.xml"]),
        (["a-in.xml", "a-out.xml"], None),
    ],
)
def test_a_call_of_two_legs_has_the_sidecar_of_one_leg_but_not_of_both(sidecars, about):
    files = listing("a-in.wav", "a-out.wav", *sidecars)
    legs, others = files.entries[:2], files.entries[2:]
    call = Entry("a.wav", 2, 1, parts=legs)
    bundles, orphans = gather(Listing("", (call, *others)), is_audio, [XML])
    assert [[entry.path for entry in each.about] for each in bundles] == ([about] if about else [])
    kinds = [each.defect.kind for each in orphans if each.entry == call]
    assert kinds == ([] if about else ["two-sidecars"])


def test_one_file_describes_all_recordings_of_its_folder():
    files = ["a.mp3", "b.mp3", "metadata.json", "a.json", "z.json"]
    assert gathered([FOLDER], *files) == (
        {"a.mp3": ["a.json", "metadata.json"], "b.mp3": ["metadata.json"]},
        {"z.json": "orphan-sidecar"},
    )


def test_a_recording_may_have_sidecars_of_several_declarations_in_their_order():
    more = DeclaredSidecar("{name}_call_metadata.json")
    files = ["a.wav", "a.wav_call_metadata.json", "a.wav_metadata.json", "a.xml", "a.wav.json"]
    assert gathered([GENESYS, more, XML], *files) == (
        {"a.wav": ["a.wav.json", "a.wav_metadata.json", "a.wav_call_metadata.json", "a.xml"]},
        {},
    )


def test_what_is_declared_is_no_sidecar_of_ours_any_more():
    nested = DeclaredSidecar("{stem}.json")
    assert gathered([nested], "a.wav", "a.json", "b.json") == ({"a.wav": ["a.json"]}, {})
    bundles, _ = gather(listing("a.wav", "a.json"), is_audio, [nested])
    assert [each.declared for each in sidecars_of(bundles[0], [nested])] == [nested]


def test_each_file_is_read_as_it_is_declared():
    both = [XML, DeclaredSidecar("{name}.xml", encoding="cp1251"), FOLDER]
    files = ["a.wav", "a.xml", "a.wav.xml", "metadata.json", "a.json"]
    bundles, _ = gather(listing(*files), is_audio, both)
    found = {each.entry.path: each.declared.name for each in sidecars_of(bundles[0], both)}
    assert found == {
        "a.json": "{stem}.json",
        "a.xml": "{stem}.xml",
        "a.wav.xml": "{name}.xml",
        "metadata.json": "metadata.json",
    }


def test_a_sidecar_that_two_recordings_could_have_is_told_for_each():
    assert gathered([XML], "a.wav", "a.mp3", "a.xml") == (
        {},
        {"a.wav": "shared-sidecar", "a.mp3": "shared-sidecar"},
    )
    assert gathered([GENESYS], "a.wav", "a.mp3", "a.wav_metadata.json") == (
        {"a.wav": ["a.wav_metadata.json"], "a.mp3": []},
        {},
    )
    # Records name the files themselves.
    assert gathered([FOLDER], "a.wav", "a.mp3", "metadata.json")[1] == {}


def test_two_sidecars_of_one_name_and_one_that_is_unreadable_are_told():
    assert gathered([XML], "a.wav", "a.xml", "a.XML")[1] == {"a.wav": "two-sidecars"}
    assert gathered([XML], "a.wav", unreadable=["a.xml"])[1] == {"a.wav": "sidecar-unreadable"}
    assert gathered([FOLDER], "a.wav", "b.wav", unreadable=["metadata.json"])[1] == {
        "a.wav": "sidecar-unreadable",
        "b.wav": "sidecar-unreadable",
    }


@pytest.mark.parametrize(
    ("sidecar", "recording"),
    [
        ("CALL.xml", "call.wav"),
        (unicodedata.normalize("NFD", "йод.xml"), "йод.wav"),
        ("йод.xml", unicodedata.normalize("NFD", "йод.wav")),
    ],
)
def test_a_name_that_differs_in_case_or_composition_pairs_if_it_can_mean_no_other(
    sidecar, recording
):
    assert gathered([XML], sidecar, recording) == ({recording: [sidecar]}, {})
    for rival in (recording.replace(".wav", ".mp3"), sidecar.replace(".xml", ".mp3")):
        found, _ = gathered([XML], sidecar, recording, rival)
        assert found.get(recording, []) == []


def test_the_digest_of_more_files_tells_them_apart():
    first, second = Entry("a.json", 1, 1), Entry("metadata.json", 2, 2)
    assert version_of_more([]) is None
    assert version_of_more([first]) is None
    digest = version_of_more([first, second])
    assert len(digest) == 16
    assert digest == version_of_more([first, Entry("metadata.json", 2, 2, 9, 9)])
    assert digest != version_of_more([first, Entry("metadata.json", 2, 3)])
    assert version_of_more([first, Entry("\ud800.json", 2, 2)])


_NAMES = """
    a.wav A.wav a.mp3 b.wav a.json a.wav.json b.json a.xml A.xml a.XML b.xml c.xml metadata.json
    a.wav_metadata.json b.wav_metadata.json
"""


def test_a_source_lists_what_is_declared_beside_what_it_always_lists(tmp_path):
    declared = [XML, GENESYS, FOLDER, DeclaredSidecar("a_{stem}[1]*.cdr.xml")]
    files = ["x/b.wav", "x/b.XML", "x/a_b[1]*.cdr.xml", "x/b.txt", "x/.b.xml", "metadata.json"]
    for path in files:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(b"x")
    (tmp_path / "folder.xml").mkdir()
    (tmp_path / "folder.xml" / "c.xml").write_bytes(b"x")

    def listed(patterns):
        async def paths(source):
            return {e.path async for listing in source.entries() for e in listing.entries}

        ours = DirectorySource(tmp_path, sidecars=patterns)
        memory = MemorySource(dict.fromkeys([*files, "folder.xml/c.xml"], b"x"), sidecars=patterns)
        found = asyncio.run(paths(ours))
        assert asyncio.run(paths(memory)) == found
        return found

    assert listed([]) == {"x/b.wav", "metadata.json"}
    assert listed([each.pattern for each in declared]) == {
        "x/b.wav",
        "x/b.XML",
        "x/a_b[1]*.cdr.xml",
        "metadata.json",
        "folder.xml/c.xml",
    }
    narrow = [DeclaredSidecar("a_{stem}[1]*.cdr.xml").pattern]
    assert listed(narrow) == {"x/b.wav", "x/a_b[1]*.cdr.xml", "metadata.json"}


names = st.lists(st.sampled_from(_NAMES.split()), unique=True, max_size=9)


@given(names)
def test_without_declarations_it_is_the_pairing_of_our_own(paths):
    assert gather(listing(*paths), is_audio, []) == pair(listing(*paths), is_audio)


@given(names, st.lists(st.sampled_from([XML, GENESYS, FOLDER]), unique=True))
def test_each_recording_is_in_a_bundle_or_an_orphan(paths, declared):
    bundles, orphans = gather(listing(*paths), is_audio, declared)
    found = [each.path for each in bundles] + [each.entry.path for each in orphans]
    assert len(found) == len(set(found))
    assert {path for path in found if is_audio(path)} == set(filter(is_audio, paths))
    for each in bundles:
        exact = [d.name for d in declared for f in paths if d.described(f) == d.key(each.path)]
        assert len(each.about) >= len(exact)
