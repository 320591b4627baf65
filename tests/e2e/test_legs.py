"""Two legs of a call go up as one stereo recording: once, with the agent where the rule says."""

import hashlib
import json
import os
import random
import shutil
import time
from collections import Counter

import numpy as np
import pytest
from e2e.conftest import emulator
from support.leg_makers import kept, put_legs, sidecar, sides, tone, wav
from support.sound_makers import call_wav

IN_OUT = ("--legs=-in/-out",)


@pytest.fixture
def emulators(tmp_path):
    """Two services that keep the audio."""
    with (
        emulator(tmp_path / "one", "--keep-audio", tmp_path / "kept one") as one,
        emulator(tmp_path / "other", "--keep-audio", tmp_path / "kept other") as other,
    ):
        one.audio = lambda: kept(one, tmp_path / "kept one")
        yield one, other


def test_two_legs_and_their_mix_are_one_talk(calls, upload, service):
    """Case 24: the mix alone, or the joined legs, never three."""
    call = "in-74950000000-201-20250424-143419-1745494459.1657"
    calls.put(f"{call}.wav", call_wav(0))
    calls.put(f"{call}.wav-in.wav", call_wav(1))
    calls.put(f"{call}.wav-out.wav", call_wav(2))
    sidecar(calls, f"{call}.wav")

    result = upload(*IN_OUT)

    assert result.code == 0, result.err
    assert "1 as the mix of joined legs" in result.err
    assert service.counts(calls) == {f"{call}.wav": 1}
    (talk,) = service.talks(calls)
    assert talk.size == 44 + 2 * 3 * 8000 * 2
    line = calls.manifest()[f"{call}.wav"]
    assert line["parts"] == [f"{call}.wav-in.wav", f"{call}.wav-out.wav"]
    assert line["sent"]["sha256"] == talk.sha256.hex()
    again = upload(*IN_OUT)
    assert again.code == 0, again.err
    assert "1 as the mix of joined legs" in again.err
    assert len(service.talks(calls)) == 1


def test_without_the_flag_the_mix_goes_up_alone(calls, program, upload, service):
    put_legs(calls, "call.wav", mix=True)
    assert upload().code == 1
    assert service.counts(calls) == {"call.wav": 1}
    joined = upload(*IN_OUT)
    assert joined.code == 1
    assert "possible duplicate" in joined.err
    assert service.counts(calls) == {"call.wav": 1}
    decided = program("resolve", calls, "--duplicate", "--cause", "part")
    assert decided.code == 0, decided.err
    assert upload(*IN_OUT).code == 0
    assert service.counts(calls) == {"call.wav": 1}


@pytest.mark.parametrize("agent", ["left", "right"])
def test_the_agent_is_on_the_side_that_the_connection_wants(calls, upload, listening, agent):
    put_legs(calls, "incoming.wav", seed=1, direction_outgoing="false")
    put_legs(calls, "outgoing.wav", seed=2, direction_outgoing="true")
    put_legs(calls, "unknown.wav", seed=3)

    result = upload(*IN_OUT, "--agent-channel", agent, to=listening)

    # The first leg is the caller's, who is the agent of an outgoing call.
    assert result.code == 1
    assert "direction" in result.err
    first, second = (("in", "out"), ("out", "in"))
    expected = {"outgoing.wav": first, "incoming.wav": second}
    if agent == "right":
        expected = {"outgoing.wav": second, "incoming.wav": first}
    assert sides(listening) == expected


def test_a_leg_that_is_missing_is_waited_for_then_told_then_sent_alone_if_allowed(
    calls, upload, listening
):
    put_legs(calls, "late.wav", seed=1)
    (calls.folder / "late-out.wav").unlink()
    waits = upload(*IN_OUT, "--sidecar-wait", "2h", to=listening)
    assert waits.code == 0, waits.err
    assert "without the other leg" in waits.err
    assert upload(*IN_OUT, "--legs-alone", "--sidecar-wait", "2h", to=listening).code == 0
    assert listening.talks() == []

    told = upload(*IN_OUT, "--sidecar-wait", "0", to=listening)

    assert told.code == 1
    assert "leg-missing: the other leg of its call, late-out.wav, is missing" in told.err
    assert "--legs-alone" in told.err
    assert listening.talks() == []

    alone = upload(*IN_OUT, "--legs-alone", "--sidecar-wait", "0", to=listening)

    assert alone.code == 0, alone.err
    assert listening.counts(calls) == {"late.wav": 1}
    assert calls.manifest()["late.wav"]["parts"] == ["late-in.wav"]
    put_legs(calls, "late.wav", seed=1)
    joined = upload(*IN_OUT, to=listening)
    assert joined.code == 1
    assert "possible duplicate" in joined.err
    assert listening.counts(calls) == {"late.wav": 1}


def test_a_mix_goes_up_where_a_leg_is_missing(calls, upload, service):
    put_legs(calls, "call.wav", mix=True)
    (calls.folder / "call-in.wav").unlink()
    result = upload(*IN_OUT, "--sidecar-wait", "0")
    assert result.code == 0, result.err
    assert service.counts(calls) == {"call.wav": 1}
    (talk,) = service.talks(calls)
    assert talk.size == (calls.folder / "call.wav").stat().st_size


def test_legs_without_audio_are_an_empty_recording_and_one_of_them_is_missing(
    calls, upload, listening
):
    put_legs(calls, "both.wav", seconds=(0, 0))
    put_legs(calls, "one.wav", seconds=(1, 0))

    told = upload(*IN_OUT, "--sidecar-wait", "0", to=listening)

    assert told.code == 1
    errors = {path: line["error"]["code"] for path, line in calls.manifest().items()}
    assert errors == {"both.wav": "empty", "one.wav": "leg-missing"}
    alone = upload(*IN_OUT, "--skip-empty", "--legs-alone", to=listening)
    assert alone.code == 0, alone.err
    assert listening.counts(calls) == {"one.wav": 1}


def test_what_is_wrong_with_a_leg_names_it(calls, upload, service):
    put_legs(calls, "apart.wav", seconds=(10, 3))
    put_legs(calls, "cut.wav")
    whole = (calls.folder / "cut-out.wav").read_bytes()
    calls.put("cut-out.wav", whole[:-1000])
    put_legs(calls, "long.wav")
    data = 4 * 3600 * 8000 * 2 + 32_000
    head = whole[:40] + data.to_bytes(4, "little")
    for what in ("in", "out"):
        calls.put(f"long-{what}.wav", head)
        os.truncate(calls.folder / f"long-{what}.wav", len(head) + data)
        calls.rest(f"long-{what}.wav")

    told = upload(*IN_OUT, "--split-long")

    assert told.code == 1
    assert "split both of its legs at the same moments" in " ".join(told.err.split())

    errors = {path: line["error"] for path, line in calls.manifest().items()}
    assert errors["cut.wav"]["code"] == "truncated"
    assert "cut-out.wav" in errors["cut.wav"]["message"]
    assert "10.0 s" in errors["apart.wav"]["message"]
    assert "3.0 s" in errors["apart.wav"]["message"]
    assert errors["long.wav"]["code"] == "too-long"
    assert service.talks(calls) == []


def test_a_part_that_is_up_already_is_held_both_ways(calls, upload, service):
    put_legs(calls, "first.wav", seed=1)
    for what in ("in", "out"):
        sidecar(calls, f"first-{what}.wav")
    assert upload().code == 0  # each by itself, since nobody said what they are
    assert service.counts(calls) == {"first-in.wav": 1, "first-out.wav": 1}
    put_legs(calls, "second.wav", seed=2)
    for what in ("in", "out"):
        (calls.folder / f"first-{what}.wav").rename(calls.folder / f"renamed-{what}.wav")
        (calls.folder / f"first-{what}.json").unlink()
    sidecar(calls, "renamed.wav")
    (calls.folder / "first.json").unlink()

    joined = upload(*IN_OUT)

    assert joined.code == 1
    assert service.counts(calls) == {"first-in.wav": 1, "first-out.wav": 1, "second.wav": 1}
    held = calls.manifest()["renamed.wav"]
    assert (held["status"], held["error"]["code"]) == ("possible_duplicate", "PART")

    for what in ("in", "out"):
        sidecar(calls, f"second-{what}.wav")
    alone = upload()
    assert alone.code == 1
    assert service.counts(calls) == {"first-in.wav": 1, "first-out.wav": 1, "second.wav": 1}
    assert calls.manifest()["second-in.wav"]["error"]["code"] == "PART"
    assert calls.manifest()["second-out.wav"]["duplicate_of"] == "second.wav"


def test_a_leg_too_many_is_told_and_stops_nothing(calls, upload, service):
    put_legs(calls, "call.wav", mix=True)
    put_legs(calls, "other.wav", seed=1)
    calls.put("call-IN.wav", wav(tone("in", seed=2)))
    calls.put("call-in.mp3", b"ID3 the same in another format")
    for _ in range(2):
        result = upload(*IN_OUT, "--legs-alone", "--sidecar-wait", "0")
        assert result.code == 1, result.err
        assert result.err.count("legs-ambiguous") == 2
        assert service.counts(calls) == {"call.wav": 1, "other.wav": 1}
    assert {line["status"] for line in calls.manifest().values()} == {"uploaded"}


def test_check_foretells_it(calls, inside, upload):
    put_legs(calls, "a.wav", mix=True)
    put_legs(calls, "b.wav", seed=1)
    (calls.folder / "b-in.wav").unlink()
    for fast in ((), ("--fast",)):
        seen = json.loads(
            inside("check", calls, *IN_OUT, "--json", "--sidecar-wait", "0", *fast).out
        )
        assert seen["to_send"] == 1
        assert [each["code"] for each in seen["defects"]] == ["leg-missing"]
        assert seen["left_out_by"] == {"legs": 1}


def test_stereo_recordings_are_swapped_if_need_be(calls, upload, listening):
    for name, outgoing in (("a.wav", "true"), ("b.wav", "false")):
        stereo = np.column_stack([tone("in", seed=len(outgoing)), tone("out", seed=len(outgoing))])
        calls.put(name, wav(stereo))
        sidecar(calls, name, direction_outgoing=outgoing)
    config = calls.folder.parent / "settings.toml"
    config.write_text('agent-channel = "right"\n[stereo]\nleft = "caller"\n')

    result = upload("--config", config, to=listening)

    assert result.code == 0, result.err
    assert sides(listening) == {"a.wav": ("out", "in"), "b.wav": ("in", "out")}
    lines = calls.manifest()
    for name in ("a.wav", "b.wav"):
        content = (calls.folder / name).read_bytes()
        assert lines[name]["sha256"] == hashlib.sha256(content).hexdigest()
    assert "sent" in lines["a.wav"]
    assert "sent" not in lines["b.wav"]


def test_a_lost_ledger_is_rebuilt_with_the_parts(calls, upload, service):
    put_legs(calls, "a.wav", mix=True)
    put_legs(calls, "b.wav", seed=1)
    (calls.folder / "b-in.wav").rename(calls.folder / "aside")
    assert upload(*IN_OUT, "--sidecar-wait", "0").code == 1
    (calls.folder / "aside").rename(calls.folder / "b-in.wav")
    calls.ledger.unlink()

    rebuilt = upload(*IN_OUT, "--rebuild", "--sidecar-wait", "0")

    assert service.counts(calls) == {"a.wav": 1}, rebuilt.err
    states = {path: line["status"] for path, line in calls.manifest().items()}
    assert states == {"a.wav": "uploaded", "b.wav": "in_doubt"}
    for what in ("in", "out"):
        sidecar(calls, f"a-{what}.wav")
    assert upload().code == 1
    assert service.counts(calls) == {"a.wav": 1}


def a_month(calls, count=300):
    """Pairs of different lengths and rates; some with their mix, some without a leg."""
    chance = random.Random(18)
    expected = {}
    for number in range(count):
        name = f"{number % 7}/{number}.wav"
        length = chance.uniform(0.3, 2.5)
        lengths = [length, length + chance.uniform(-0.25, 0.5)]
        chance.shuffle(lengths)
        rates = chance.choice([(8000, 8000), (8000, 8000), (8000, 16000), (16000, 8000)])
        outgoing = chance.choice(["true", "false"])
        kind = chance.choice(["whole", "whole", "whole", "mixed", "lacking", "apart"])
        if kind == "lacking":
            lengths[chance.randrange(2)] = None
        elif kind == "apart":
            lengths[0] += 5
        put_legs(
            calls,
            name,
            mix=kind == "mixed",
            seed=number,
            seconds=lengths,
            rates=rates,
            direction_outgoing=outgoing,
        )
        if kind in {"whole", "mixed"}:
            # The first leg is the caller's, and the agent belongs to the right.
            expected[name] = ("out", "in") if outgoing == "true" else ("in", "out")
    return expected


def test_three_hundred_pairs_go_up_once_as_they_should_whatever_happens(calls, upload, emulators):
    """Fault 1: a kill in the middle changes nothing, and two runs send the same bytes."""
    expected = a_month(calls)
    how = (*IN_OUT, "--agent-channel", "right", "--sidecar-wait", "0", "--stamp-field", "stamp")
    one, other = emulators
    process = upload(*how, to=one, start=True)
    while len(one.talks()) < 50:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.communicate()
    for _ in range(3):
        result = upload(*how, "--hold", "1s", to=one)
        if not calls.in_doubt():
            break
        time.sleep(1.5)
    assert result.code == 1, result.err
    assert one.counts(calls) == dict.fromkeys(expected, 1)
    assert sides(one) == expected
    codes = Counter(
        line["error"]["code"] for line in calls.manifest().values() if line["status"] == "invalid"
    )
    assert codes.keys() == {"leg-missing", "legs"}
    assert sum(codes.values()) + len(expected) == 300

    shutil.rmtree(calls.ledger.parent)
    (calls.folder / "manifest.jsonl").unlink()
    assert upload(*how, to=other).code == 1
    sent = [{t.fields["name"]: t.sha256 for t in each.talks()} for each in (one, other)]
    assert sent[0] == sent[1]
