"""What is too long goes up in pieces, if that is asked for: each once, cut at silence."""

import hashlib
import io
import json
import shutil
import signal
import sqlite3
import sys
import time
from contextlib import closing

import numpy as np
import pytest
import soundfile
from e2e.conftest import emulator
from support.sound_makers import ffmpeg

RATE = 8000
LIMIT = 24
LOWER_LIMIT = f"""
import runpy, sys
from functools import partial
from batch_uploader.settings import connection
connection.AudioRules = partial(connection.AudioRules, max_duration={LIMIT}.0)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
SPLIT = ("--split-long",)
SILENCES = (23.5, 46.9)
PIECES = ["call#1.wav", "call#2.wav", "call#3.wav"]


def talking(seconds=60.0, seed=0, silences=SILENCES):
    """Noise that is silent for 0.6 s around each of these times."""
    samples = np.random.default_rng(seed).integers(-8000, 8000, round(seconds * RATE), "<i2")
    for at in silences:
        samples[round((at - 0.3) * RATE) : round((at + 0.3) * RATE)] = 0
    return samples


def put(calls, name="call.wav", samples=None, **fields):
    made = io.BytesIO()
    soundfile.write(made, talking() if samples is None else samples, RATE, "PCM_16", format="WAV")
    calls.put(name, made.getvalue())
    told = {"origin": str(calls), "name": name, **fields}
    calls.put(f"{name.rpartition('.')[0]}.json", json.dumps(told).encode())


@pytest.fixture
def run(program, calls, service, tmp_path):
    """Runs an upload with a lower limit."""
    driver = tmp_path / "driver.py"
    driver.write_text(LOWER_LIMIT)

    def run(*flags, to=service, start=False, directory=calls, **how):
        flags = ("upload", directory, *to.flags, "--api-key-file", calls.key_file, *flags)
        how["under"] = (sys.executable, driver)
        return program.start(*flags, **how) if start else program(*flags, **how)

    return run


def digests(service, calls):
    return sorted(talk.sha256 for talk in service.talks(calls))


def test_all_of_it_goes_up_once_and_each_piece_says_when_it_began(run, calls, tmp_path):
    put(calls, date="2025-04-24T23:59:30+03:00", operator_id="7", client_id="9")
    put(calls, "short.wav", talking(2))
    with emulator(tmp_path / "kept", "--keep-audio", tmp_path / "audio") as service:
        result = run(*SPLIT, to=service)
        assert result.code == 0, result.err
        talks = {
            (talk.fields["name"], talk.fields.get("date")): talk for talk in service.talks(calls)
        }
        assert len(talks) == len(service.talks(calls)) == 4
        begun = [date for name, date in talks if name == "call.wav"]
        assert sorted(begun) == [
            "2025-04-24T23:59:30+03:00",
            "2025-04-24T23:59:53+03:00",
            "2025-04-25T00:00:17+03:00",
        ]
        heard = []
        for date in sorted(begun):
            kept = next((tmp_path / "audio").glob(f"{talks['call.wav', date].talk_id}*"))
            heard.append(soundfile.read(io.BytesIO(kept.read_bytes()), dtype="int16")[0])
    assert np.array_equal(np.concatenate(heard), talking())
    assert [not heard[0][-1000:].any(), not heard[1][:1000].any()] == [True, True]
    lines = calls.manifest()
    assert sorted(lines) == [*PIECES, "short.wav"]
    assert {line["status"] for line in lines.values()} == {"uploaded"}
    assert lines["call#2.wav"]["parts"] == ["call.wav"]
    assert "sent" in lines["call#2.wav"]


def test_nothing_is_sent_twice_whatever_is_lost_or_switched_off(run, calls, service):
    put(calls)
    assert run(*SPLIT).code == 0
    sent = digests(service, calls)
    assert len(sent) == 3

    assert run(*SPLIT).code == 0
    (cuts,) = calls.ledger.parent.glob("*-cuts*")
    cuts.unlink()
    assert run(*SPLIT).code == 0
    whole = run()
    assert whole.code == 1
    assert "too-long" in whole.err
    assert "--split-long" in whole.err
    (calls.folder / "call.wav").touch()  # its content is read once more
    calls.rest("call.wav")
    cuts.write_bytes(b"not a database")
    assert run(*SPLIT).code == 0
    assert digests(service, calls) == sent


@pytest.mark.parametrize("fast", [(), ("--fast",)])
def test_the_defect_of_the_whole_ends_with_its_pieces(run, calls, service, program, fast):
    put(calls)
    assert run().code == 1  # too long
    foretold = json.loads(check(program, calls, run, *SPLIT, *fast))
    result = run(*SPLIT)
    assert result.code == 0, result.err
    assert (foretold["to_send"], foretold["gone"]) == (3, 0)
    assert sorted(calls.manifest()) == PIECES
    assert run(*SPLIT).code == 0
    (calls.folder / "call.wav").unlink()
    (calls.folder / "call.json").unlink()
    put(calls, "new.wav", talking(2))
    assert "3 recordings on record are gone" in run(*SPLIT).err


def test_a_renamed_file_and_a_copy_are_duplicates_piece_by_piece(run, calls, service):
    put(calls)
    assert run(*SPLIT).code == 0
    sent = digests(service, calls)
    content = (calls.folder / "call.wav").read_bytes()
    for suffix in ("wav", "json"):
        (calls.folder / f"call.{suffix}").rename(calls.folder / f"renamed.{suffix}")
    calls.put("copy/call.wav", content)
    calls.put("copy/call.json", (calls.folder / "renamed.json").read_bytes())

    result = run(*SPLIT)

    assert result.code == 0, result.err
    assert digests(service, calls) == sent
    states = {path: line["status"] for path, line in calls.manifest().items()}
    for piece in (1, 2, 3):
        assert states[f"renamed#{piece}.wav"] == states[f"copy/call#{piece}.wav"] == "duplicate"


@pytest.mark.parametrize("ids", [(), ("--call-id", "call")])
def test_a_file_renamed_and_converted_is_held_however_it_is_cut(run, calls, service, ids):
    told = {"date": "2025-04-24T23:59:30+03:00", "operator_id": "7", "client_id": "9", "call": "1"}
    put(calls, **told)
    assert run(*SPLIT, *ids).code == 0
    (calls.folder / "call.wav").unlink()
    (calls.folder / "call.json").rename(calls.folder / "renamed.json")
    made = io.BytesIO()
    longer = talking(75, silences=(22.9, 45.4, 68))
    soundfile.write(made, longer, RATE, "PCM_16", format="WAV")
    calls.put("renamed.mp3", ffmpeg(made.getvalue(), "wav", "mp3", "-b:a", "64k"))

    result = run(*SPLIT, *ids)

    assert result.code == 1
    assert len(digests(service, calls)) == 3
    held = {path for path, line in calls.manifest().items() if line["status"] != "uploaded"}
    assert held == {f"renamed#{piece}.mp3" for piece in (1, 2, 3, 4)}


def test_pieces_of_one_call_do_not_switch_its_id_off(run, calls, service):
    told = {"date": "2025-04-24T23:59:30+03:00", "operator_id": "7", "client_id": "9"}
    put(calls, samples=talking(110), **told)
    assert run(*SPLIT).code == 0
    sent = digests(service, calls)
    put(calls, "one.wav", talking(3, seed=1), **told)
    put(calls, "other.wav", talking(9, seed=2), **told)

    assert run(*SPLIT).code == 1

    assert digests(service, calls) == sent
    states = {path: line["status"] for path, line in calls.manifest().items()}
    assert states["one.wav"] == states["other.wav"] == "possible_duplicate"


def test_a_whole_that_is_on_record_holds_its_pieces_and_they_hold_it(run, calls, upload, service):
    put(calls)
    assert upload().code == 0  # 4 hours are the limit here
    held = run(*SPLIT)
    assert held.code == 1
    assert "possible duplicate" in held.err
    assert len(digests(service, calls)) == 1
    put(calls, "other.wav", talking(seed=2))
    assert run(*SPLIT).code == 1
    assert len(digests(service, calls)) == 4
    other = upload()
    assert other.code == 1
    assert "possible duplicate" in other.err
    assert len(digests(service, calls)) == 4


@pytest.mark.parametrize("longer", [0, 20])
def test_a_file_that_changed_is_held(run, calls, service, longer):
    put(calls)
    assert run(*SPLIT).code == 0
    put(calls, samples=talking(60 + longer, seed=5))
    result = run(*SPLIT)
    assert result.code == 1
    assert "possible duplicate" in result.err
    assert len(digests(service, calls)) == 3


def test_kills_between_pieces_change_nothing(run, calls, start_service):
    put(calls, samples=talking(230, silences=()))
    put(calls, "b.wav", talking(100, seed=1))
    how = (*SPLIT, "--stamp-field", "stamp", "--hold", "1s")
    with start_service("--latency", "300ms") as service:
        for number in range(12):
            process = run(*how, "--concurrency", "2", to=service, start=True)
            time.sleep(0.9 + 0.15 * number)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        for _ in range(4):
            last = run(*how, to=service)
            if last.code == 0:
                break
            time.sleep(1.5)
        found = digests(service, calls)
        assert last.code == 0, last.err
        assert len(found) == len(set(found)) == 10 + 5
        assert {line["status"] for line in calls.manifest().values()} == {"uploaded"}


def test_a_run_that_is_stopped_does_not_wait_for_a_folder_to_be_cut(run, calls):
    put(calls, samples=talking(600, silences=()))
    for number in range(300):
        (calls.folder / f"{number}.wav").hardlink_to(calls.folder / "call.wav")
    process = run(*SPLIT, start=True)
    while not (found := list(calls.ledger.parent.glob("*-cuts"))):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    with closing(sqlite3.connect(found[0])) as cuts:
        assert cuts.execute("SELECT count(*) FROM cuts").fetchone()[0] < 300


def test_other_codecs_are_cut_as_well_and_check_foretells_it(run, calls, service, program):
    put(calls)
    wav = (calls.folder / "call.wav").read_bytes()
    (calls.folder / "call.wav").unlink()
    calls.put("call.wav", ffmpeg(wav, "wav", "wav", "-c:a", "pcm_mulaw"))
    put(calls, "short.wav", talking(2))
    calls.put("broken.wav", wav[:-1000])
    calls.put("broken.json", b"{}")
    seen = json.loads(check(program, calls, run, *SPLIT))
    assert seen["to_send"] == 4
    assert (seen["pieces"], seen["pieces_duration"]) == (3, 60.0)
    said = check(program, calls, run, *SPLIT, form=())
    assert "3 of these, 1m, pieces of long recordings" in said, said
    assert not list(calls.folder.glob(".batch-uploader/*"))
    result = run(*SPLIT)
    assert result.code == 1
    assert len(digests(service, calls)) == 4
    assert calls.manifest()["broken.wav"]["error"]["code"] == "truncated"


def check(program, calls, run, *flags, form=("--json",)):
    driver = calls.folder.parent / "driver.py"
    under = (sys.executable, driver)
    result = program("check", calls, *flags, *form, under=under)
    return result.out if form else result.said


def test_a_file_with_the_name_of_a_piece_leaves_the_recording_whole(run, calls, service):
    put(calls)
    put(calls, "call#2.wav", talking(1))
    result = run(*SPLIT)
    assert result.code == 1
    assert "too-long" in result.err
    assert [talk.fields["name"] for talk in service.talks(calls)] == ["call#2.wav"]


def test_pieces_are_sent_as_opus_if_that_is_wanted(run, calls, tmp_path):
    put(calls)
    with emulator(tmp_path / "one") as one:
        assert run(*SPLIT, "--convert", "opus", to=one).code == 0
        assert len(digests(one, calls)) == 3
        lines = calls.manifest()
        content = (calls.folder / "call.wav").read_bytes()
        marked = hashlib.sha256(content).digest() + b"0-187600"
        assert lines["call#1.wav"]["sha256"] == hashlib.sha256(marked).hexdigest()
        assert {talk.sha256.hex() for talk in one.talks(calls)} == {
            line["sent"]["sha256"] for line in lines.values()
        }
        sizes = [talk.size for talk in one.talks(calls)]
        assert max(sizes) < len(content) / 6
        shutil.rmtree(calls.ledger.parent)
        (calls.folder / "manifest.jsonl").unlink()
    with emulator(tmp_path / "other") as other:
        assert run(*SPLIT, to=other).code == 0
        assert max(sizes) < min(talk.size for talk in other.talks(calls))


def test_a_lost_ledger_is_rebuilt_with_the_pieces(run, calls, service):
    put(calls)
    put(calls, "new.wav", talking(seed=3))
    (calls.folder / "new.wav").rename(calls.folder.parent / "aside")
    assert run(*SPLIT).code == 0
    sent = digests(service, calls)
    (calls.folder.parent / "aside").rename(calls.folder / "new.wav")
    calls.ledger.unlink()

    refused = run("--rebuild")
    assert refused.code == 2
    assert "rebuild with --split-long" in refused.err
    assert not calls.ledger.exists()
    rebuilt = run(*SPLIT, "--rebuild")

    assert digests(service, calls) == sent, rebuilt.err
    states = {path: line["status"] for path, line in calls.manifest().items()}
    assert states == {
        **dict.fromkeys(PIECES, "uploaded"),
        **{f"new#{piece}.wav": "in_doubt" for piece in (1, 2, 3)},
    }
    assert run(*SPLIT).code in {1, 4, 5, 6}
    assert digests(service, calls) == sent
