"""Which files are legs, and how a source lists the call that they are."""

from contextlib import aclosing

import pytest
from msgspec.structs import replace
from support.emulator_client import wav
from support.sound_makers import call_wav

from batch_uploader.core.errors import BadValue, ConfigError
from batch_uploader.core.model import Defect, Entry, Metadata
from batch_uploader.prepare.bundle import bundle_of, version_of
from batch_uploader.prepare.legs.lookalikes import Lookalikes
from batch_uploader.prepare.legs.pattern import KNOWN, LegPattern
from batch_uploader.prepare.legs.rules import Channels, LegRules, Side, Speaker, SpeakerColumn
from batch_uploader.prepare.legs.sides import crossed_channels, crossed_legs
from batch_uploader.prepare.legs.source import JoinedSource
from batch_uploader.prepare.legs.starts import offsets_of
from batch_uploader.prepare.pairing import pair
from batch_uploader.sources.directory import DirectorySource
from batch_uploader.sources.memory import MemorySource

FOLDERS = "in/{call} out/{call}"
IN_OUT = LegRules((LegPattern.parse("-in/-out"),))


def is_audio(path):
    return path.lower().endswith((".wav", ".mp3"))


@pytest.mark.parametrize(
    ("pattern", "path", "side", "call", "other"),
    [
        ("-in/-out", "d/call-in.wav", 0, "d/call.wav", "d/call-out.wav"),
        ("-in/-out", "d/call-OUT.WAV", 1, "d/call.WAV", "d/call-in.WAV"),
        ("-in/-out", "NAME.wav-out.wav", 1, "NAME.wav", "NAME.wav-in.wav"),
        ("-in/-out", "1774592717.512-in.wav", 0, "1774592717.512.wav", "1774592717.512-out.wav"),
        ("-in/-out", "in-749-in.wav", 0, "in-749.wav", "in-749-out.wav"),
        ("-rx/-tx", "a-rx.mp3", 0, "a.mp3", "a-tx.mp3"),
        ("_in/_out", "mikopbx-1.5_Ab_in.wav", 0, "mikopbx-1.5_Ab.wav", "mikopbx-1.5_Ab_out.wav"),
        ("recv_/trans_", "d/trans_1.wav", 1, "d/1.wav", "d/recv_1.wav"),
        (".in/.out", "d/c.in.wav", 0, "d/c.wav", "d/c.out.wav"),
        ("{call}-a.wav {call}-b.wav", "q-b.wav", 1, "q.wav", "q-a.wav"),
        (FOLDERS, "in/a.wav", 0, "in/a.wav", "out/a.wav"),
        (FOLDERS, "top/out/2025/a.wav", 1, "top/in/2025/a.wav", "top/in/2025/a.wav"),
    ],
)
def test_a_name_says_which_leg_of_which_call_it_is(pattern, path, side, call, other):
    assert LegPattern.parse(pattern).place(path, is_audio) == (side, call, other)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("-in/-out", "-in.wav"),
        ("-in/-out", "call.wav"),
        ("-in/-out", "d-in/call.wav"),
        ("_in/_out", "petrova_a_in_2026_03_27-09_25_17_79001234567_ab1c.mp3"),
        ("{call}-a.wav {call}-b.wav", "q-b.mp3"),
        (FOLDERS, "a.wav"),
    ],
)
def test_other_names_are_not_legs(pattern, path):
    assert LegPattern.parse(pattern).place(path, is_audio) is None


@pytest.mark.parametrize("text", ["in", "in/out", "-in", "{call}", "{call} {call}", "-in/-IN", ""])
def test_what_does_not_name_two_legs_is_refused_with_a_cure(text):
    with pytest.raises(BadValue, match="leg") as refused:
        LegPattern.parse(text)
    assert "-in/-out" in refused.value.hints[0]


async def listings(rules, *paths, **files):
    source = MemorySource({**{path: path.encode() for path in paths}, **files})
    joined = JoinedSource(source, rules)
    async with aclosing(joined.entries()) as found:
        return {listing.folder: listing async for listing in found}, joined


async def listed(rules, *paths):
    found, _ = await listings(rules, *paths)
    return {entry.path: entry for listing in found.values() for entry in listing.entries}


async def test_two_legs_are_one_entry_and_their_mixes_are_left_out():
    mixes = ["d/a.wav", "d/a.mp3", "d/a-mixed.wav", "d/stereo_a.wav"]
    found, _ = await listings(IN_OUT, "d/a-in.wav", "d/a-out.wav", "d/b.wav", "d/a.json", *mixes)
    entries = {entry.path: entry for entry in found["d"].entries}
    assert entries.keys() == {"d/a.wav", "d/b.wav", "d/a.json"}
    call = entries["d/a.wav"]
    assert [part.path for part in call.parts] == ["d/a-in.wav", "d/a-out.wav"]
    assert sorted(call.mixes) == sorted(mixes)
    assert found["d"].mixes == 4
    assert (call.size, call.lacks) == (len("d/a-in.wav") + len("d/a-out.wav"), None)


async def test_the_first_pattern_that_fits_says_it():
    rules = LegRules((*KNOWN.values(),))
    found = await listed(rules, "a-rx.wav", "a-tx.wav", "recv_b.wav", "trans_b.wav", "c_in.wav")
    assert {path: len(entry.parts) for path, entry in found.items()} == {
        "a.wav": 2,
        "b.wav": 2,
        "c.wav": 1,
    }
    assert found["c.wav"].lacks == "c_out.wav"


async def test_legs_of_two_formats_are_paired_by_format_first():
    four = await listed(IN_OUT, "a-in.wav", "a-out.wav", "a-in.mp3", "a-out.mp3")
    assert {path: len(entry.parts) for path, entry in four.items()} == {"a.wav": 2, "a.mp3": 2}
    two = await listed(IN_OUT, "a-in.wav", "a-out.mp3")
    assert {path: len(entry.parts) for path, entry in two.items()} == {"a.wav": 2}


@pytest.mark.parametrize(
    ("more", "calls", "told"),
    [
        ((), {"a.wav": 2}, []),
        (("a-IN.wav",), {"a.wav": 2}, ["a-IN.wav"]),
        (("a-in.mp3",), {"a.wav": 2}, ["a-in.mp3"]),
        (("a-in.mp3", "a.wav"), {"a.wav": 2}, ["a-in.mp3"]),
        (("a_in.wav", "a_out.wav"), {"a.wav": 2}, ["a_in.wav", "a_out.wav"]),
        (("A-in.wav", "A-out.wav"), {"a.wav": 2, "A.wav": 2}, []),
    ],
)
async def test_no_two_recordings_have_one_path_whatever_legs_are_there(more, calls, told):
    rules = LegRules((*KNOWN.values(),))
    found, _ = await listings(rules, "a-in.wav", "a-out.wav", *more)
    entries = found[""].entries
    assert sorted((each.path, len(each.parts)) for each in entries) == sorted(calls.items())
    assert [each.path for each in found[""].unreadable] == told
    assert {each.kind for each in found[""].unreadable} <= {"legs-ambiguous"}


async def test_a_mix_stands_for_one_call():
    rules = LegRules((*KNOWN.values(),))
    once, _ = await listings(rules, "a.wav", "a-in.wav", "a-in.mp3", "a_in.wav")
    assert [each.path for each in once[""].entries] == ["a.wav"]
    assert len(once[""].unreadable) == 2
    two = await listed(rules, "a-mixed.wav", "a-in.wav", "a-mixed-in.wav", "a-mixed-out.wav")
    assert {path: len(entry.parts) for path, entry in two.items()} == {"a-mixed.wav": 2, "a.wav": 1}


async def test_what_is_in_an_excluded_folder_is_no_leg(tmp_path):
    for folder in ("in", "out"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.wav").write_bytes(b"1")
    rules = LegRules((LegPattern.parse(FOLDERS),))
    for excluded, kept in (("in/", "out/a.wav"), ("out", "in/a.wav")):
        source = DirectorySource(tmp_path, exclude=(excluded,))
        async with aclosing(JoinedSource(source, rules).entries()) as found:
            entries = [entry async for listing in found for entry in listing.entries]
        assert [(each.path, len(each.parts)) for each in entries] == [(kept, 1)]
        assert entries[0].lacks is not None


async def test_legs_in_folders_of_their_own_are_listed_once():
    rules = LegRules((LegPattern.parse(FOLDERS),))
    found = await listed(rules, "in/a.wav", "out/a.wav", "in/b.wav", "out/c.wav", "x/d.wav")
    assert {path: [p.path for p in e.parts] for path, e in found.items()} == {
        "in/a.wav": ["in/a.wav", "out/a.wav"],
        "in/b.wav": ["in/b.wav"],
        "out/c.wav": ["out/c.wav"],
        "x/d.wav": [],
    }
    assert (found["in/b.wav"].lacks, found["out/c.wav"].lacks) == ("out/b.wav", "in/c.wav")


async def test_a_mix_stands_for_a_single_leg():
    found = await listed(IN_OUT, "a.wav", "a-in.wav")
    assert [*found] == ["a.wav"]
    assert (found["a.wav"].parts, found["a.wav"].lacks) == ((), "a-out.wav")
    assert found["a.wav"].size == len("a.wav")


async def test_a_call_is_another_version_if_either_leg_changes():
    source = MemorySource({"a-in.wav": b"1", "a-out.wav": b"2"})
    joined = JoinedSource(source, IN_OUT)

    async def version():
        async with aclosing(joined.entries()) as found:
            return [version_of(bundle_of(*listing.entries)) async for listing in found]

    before = await version()
    assert await version() == before
    for path in ("a-in.wav", "a-out.wav"):
        source.put(path, b"3")
        after = await version()
        assert after != before
        before = after


async def test_the_sidecar_of_a_call_may_have_the_name_of_the_call_of_a_leg_or_of_the_mix():
    for sidecar in ("a.json", "a.wav.json", "a-in.json", "a-out.wav.json", "a-mixed.json"):
        found, joined = await listings(
            IN_OUT, "a-in.wav", "a-out.wav", "a-mixed.wav", "b.wav", "b.json", sidecar
        )
        bundles, orphans = pair(found[""], joined.is_audio)
        assert not orphans
        assert {each.path: each.sidecar.path for each in bundles} == {
            "a.wav": sidecar,
            "b.wav": "b.json",
        }


async def test_legs_that_have_a_sidecar_each_are_a_defect_unless_the_call_has_one():
    paths = ("a-in.wav", "a-out.wav", "a-in.json", "a-out.json")
    found, joined = await listings(IN_OUT, *paths)
    bundles, (orphan,) = pair(found[""], joined.is_audio)
    assert not bundles
    assert (orphan.defect.path, orphan.defect.kind) == ("a.wav", "two-sidecars")
    assert "a-in.json, a-out.json" in orphan.defect.message

    found, joined = await listings(IN_OUT, *paths, "a.json")
    (bundle,), orphans = pair(found[""], joined.is_audio)
    assert bundle.sidecar.path == "a.json"
    assert not orphans


def metadata(**fields):
    return Metadata(fields)


@pytest.mark.parametrize(
    ("first", "told", "agent_first"),
    [
        (Speaker.AGENT, {}, True),
        (Speaker.CLIENT, {}, False),
        (Speaker.CALLER, {"direction_outgoing": "true"}, True),
        (Speaker.CALLER, {"direction_outgoing": "false"}, False),
        (Speaker.CALLED, {"direction_outgoing": "true"}, False),
        (Speaker.CALLED, {"direction": "Inbound"}, True),
        (Speaker.CALLER, {"direction": "Исходящий"}, True),
        (SpeakerColumn("side", ("0",), ("1",)), {"side": "0"}, True),
        (SpeakerColumn("side", ("0",), ("1",)), {"side": "1"}, False),
        (
            SpeakerColumn("side", caller=("0",), called=("1",)),
            {"side": "1", "direction": "out"},
            False,
        ),
    ],
)
def test_who_is_heard_first_and_who_is_wanted_decide_the_side(first, told, agent_first):
    rules = replace(IN_OUT, first=first)
    for wanted in Side:
        crossed = agent_first is not (wanted is Side.LEFT)
        channels = Channels(wanted, left=first)
        assert crossed_legs("a.wav", metadata(**told), rules, channels) is crossed
        assert crossed_channels("a.wav", metadata(**told), channels) is crossed
    assert crossed_legs("a.wav", metadata(**told), rules, Channels()) is False


@pytest.mark.parametrize(
    ("first", "told", "kind"),
    [
        (Speaker.CALLER, {}, "direction-unknown"),
        (Speaker.CALLER, {"direction": "internal"}, "direction-unknown"),
        (SpeakerColumn("side", ("0",), ("1",)), {}, "side-unknown"),
        (SpeakerColumn("side", ("0",), ("1",)), {"side": ""}, "side-unknown"),
        (SpeakerColumn("side", ("0",), ("1",)), {"side": "2"}, "side-unknown"),
    ],
)
def test_what_does_not_say_it_is_a_defect_with_the_cure(first, told, kind):
    found = crossed_channels("a.wav", metadata(**told), Channels(Side.LEFT, left=first))
    assert isinstance(found, Defect)
    assert found.kind == kind
    assert "[legs]" in found.cure


def test_of_the_known_patterns_it_is_known_who_is_heard_first():
    assert LegRules((*KNOWN.values(),)).speaker is Speaker.CALLER
    assert LegRules((LegPattern.parse("-a/-b"),)).speaker is None


def test_rules_that_contradict_themselves_are_refused():
    for values in ((("0",), ("0",)), ((), ())):
        with pytest.raises(ConfigError, match="column"):
            SpeakerColumn("side", *values)


@pytest.mark.parametrize(
    ("told", "offsets"),
    [
        ({"a": "1774592717.5", "b": "1774592716"}, (1.5, 0.0)),
        ({"a": "0", "b": "2,25"}, (0.0, 2.25)),
    ],
)
def test_when_each_leg_began_is_known_by_two_fields(told, offsets):
    rules = replace(IN_OUT, offsets=("a", "b"))
    assert offsets_of("x.wav", metadata(**told), rules, 60) == offsets
    assert offsets_of("x.wav", metadata(**told), IN_OUT, 60) is None


@pytest.mark.parametrize("told", [{}, {"a": "1"}, {"a": "1", "b": "later"}, {"a": "0", "b": "99"}])
def test_what_does_not_tell_it_is_a_defect(told):
    found = offsets_of("x.wav", metadata(**told), replace(IN_OUT, offsets=("a", "b")), 60)
    assert isinstance(found, Defect)
    assert found.kind == "offset-unknown"


def seen(*paths):
    found = Lookalikes()
    found.see([Entry(path, 1, 1) for path in paths], is_audio)
    return found


def mono(*paths, channels=1):
    return MemorySource({path: call_wav(n, 1, channels) for n, path in enumerate(paths)})


def test_what_looks_like_legs_is_counted_by_pattern_and_looked_into():
    paths = ["a-in.wav", "a-out.wav", "b-in.wav", "b-out.wav", "c_in.wav", "c_out.wav", "d.wav"]
    told = seen(*paths).look(mono(*paths))
    assert (told.pairs, told.pattern, told.first) == (2, "-in/-out", "a-in.wav")
    assert "--legs=-in/-out" in str(told)


def test_legs_that_are_converted_look_like_legs_as_well():
    law = wav(tag=6, bits=8)
    source = MemorySource({"a-in.wav": law, "a-out.wav": call_wav(1, 1)})
    assert seen("a-in.wav", "a-out.wav").look(source).pairs == 1


@pytest.mark.parametrize(
    "paths",
    [
        ["petrova_in.wav"],
        ["petrova_in.wav", "ivanova_out.wav"],
        ["login_in_2026.wav", "login_out_2026.wav"],
        ["in.wav", "out.wav"],
        ["x/a-in.wav", "y/a-out.wav"],
    ],
)
def test_a_direction_is_no_leg(paths):
    assert seen(*paths).look(mono(*paths)) is None


def test_two_stereo_recordings_are_no_legs():
    paths = ["a-in.wav", "a-out.wav"]
    assert seen(*paths).look(mono(*paths, channels=2)) is None


async def test_a_leg_whose_other_one_cannot_be_read_is_not_sent_and_told(tmp_path):
    (tmp_path / "a-in.wav").write_bytes(b"1")
    (tmp_path / "a-out.wav").symlink_to(tmp_path / "elsewhere.wav")
    async with aclosing(JoinedSource(DirectorySource(tmp_path), IN_OUT).entries()) as found:
        (listing,) = [each async for each in found]
    assert not listing.entries
    assert {each.path: each.kind for each in listing.unreadable} == {
        "a-out.wav": "symlink",
        "a-in.wav": "unreadable",
    }
