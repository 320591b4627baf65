"""One call, one talk, also when the archive changes: what an archive's files go through."""

import itertools
import os
from collections import Counter
from pathlib import Path

import pytest
from e2e.conftest import API_KEY, emulator
from e2e.nights import Nights
from support import sound_makers as sound
from support.changing_archive import Archive, fields_of, in_utc
from support.older_ledgers import RELEASED, bring_back_to

CONNECTIONS = [f"archive-{number}" for number in range(100)]
STEREO = "archive-of-two-channels"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """An emulator with a connection for each test, so that talks without metadata tell theirs."""
    flags = [("--connection", connection) for connection in (*CONNECTIONS, f"{STEREO}:2")]
    with emulator(tmp_path_factory.mktemp("archives"), *itertools.chain(*flags)) as running:
        yield running


@pytest.fixture(scope="module")
def connections():
    return iter(CONNECTIONS)


@pytest.fixture
def archive(tmp_path):
    return Archive(tmp_path / "archive")


@pytest.fixture
def nights(archive, inside, service, connections, tmp_path):
    key_file = tmp_path / "key"
    key_file.write_text(API_KEY)
    key_file.chmod(0o600)
    return Nights(archive, inside, service, next(connections), key_file)


def test_converted_tagged_and_converted_again(archive, nights):
    """Fault 109."""
    archive.add(1, "call.wav")
    nights.night()
    archive.change("call.wav", sound.converted, "wav", "mp3", to="call.mp3")
    assert "converted" in nights.night().err
    archive.change("call.mp3", sound.tagged)
    nights.night()
    archive.change("call.mp3", sound.converted, "mp3", "opus", to="call.opus")
    assert "converted" in nights.night().err
    assert nights.counts() == {1: 1}
    assert nights.lines("duplicate")["call.opus"]["duplicate_of"] == "call.wav"
    nights.nothing_to_do()


LIST = sound.list_chunk()


def with_list(content):
    return sound.wav(sound.data_of(content), before=[LIST])


HARMLESS = {
    "a list chunk before the samples": ("wav", with_list),
    "a list chunk behind them": ("wav", lambda c: sound.wav(sound.data_of(c), after=[LIST])),
    "an extensible header": ("wav", lambda c: sound.wav(sound.data_of(c), extensible=True)),
    "a remuxed WAV": ("wav", lambda c: sound.remuxed(c, "wav")),
    "a tag before the frames": ("mp3", lambda c: sound.id3v2() + c),
    "two tags before them": ("mp3", lambda c: sound.id3v2("a") + sound.id3v2("b") + c),
    "a tag behind them": ("mp3", lambda c: c + sound.id3v1()),
    "tags on both sides": ("mp3", sound.tagged),
    "a remuxed MP3": ("mp3", lambda c: sound.remuxed(c, "mp3")),
    "a remuxed Opus": ("opus", lambda c: sound.remuxed(c, "opus")),
}


def in_format(call, kind):
    content = sound.call_wav(call)
    return content if kind == "wav" else sound.converted(content, "wav", kind)


@pytest.mark.parametrize(("kind", "make"), HARMLESS.values(), ids=HARMLESS)
def test_the_same_samples_frames_or_packets_in_another_wrapping(archive, nights, kind, make):
    """Fault 109."""
    archive.add(1, f"call.{kind}", content=in_format(1, kind))
    nights.night()
    archive.change(f"call.{kind}", make)
    nights.night()
    assert nights.counts() == {1: 1}
    assert archive.statuses() == {"uploaded": 1}
    nights.nothing_to_do()


FLAWED = {
    "a data size that counts the header": lambda whole: with_size(whole, 40, len(whole)),
    "a RIFF size of zero": lambda whole: with_size(whole, 4, 0),
    "a RIFF size that was never set": lambda whole: with_size(whole, 4, 0xFFFFFFFF),
    # As ffmpeg writes it into a pipe: it cannot go back to set the sizes.
    "a data size that was never set": lambda whole: with_size(whole, 40, 0xFFFFFFFF),
}


def with_size(content, at, size):
    return content[:at] + size.to_bytes(4, "little") + content[at + 4 :]


@pytest.mark.parametrize("flaw", FLAWED.values(), ids=FLAWED)
def test_a_header_that_is_mended(archive, nights, flaw):
    whole = sound.call_wav(1)
    archive.add(1, "call.wav", content=flaw(whole))
    nights.night()
    archive.put("call.wav", whole, call=1)
    nights.night()
    assert nights.counts() == {1: 1}
    nights.nothing_to_do()


def test_a_header_that_has_to_be_mended_before_the_call_goes_up(archive, nights):
    whole = sound.call_wav(1)
    archive.add(1, "call.wav", content=with_size(whole, 40, 0xFFFFFFFF))
    nights.night("--convert", "off", code=1)
    archive.put("call.wav", whole, call=1)
    nights.night("--convert", "off")
    assert nights.counts() == {1: 1}
    nights.nothing_to_do()


@pytest.mark.parametrize("make", [sound.louder, sound.trimmed])
def test_other_samples_at_the_same_path_are_held(archive, nights, make):
    """Fault 107."""
    archive.add(1, "call.wav")
    archive.add(2)
    nights.night()
    archive.change("call.wav", make)
    said = nights.night(code=1).err
    assert "resolve" in said
    assert nights.held() == {"call.wav": "CHANGED_AUDIO"}
    assert nights.counts() == {1: 1, 2: 1}
    assert nights.lines("uploaded").keys() == {"call.wav", "call-2.wav"}
    nights.nothing_to_do()


def test_a_month_that_is_moved_and_exported_again(archive, nights):
    """Fault 109."""
    names = [archive.add(n, f"2025/04/call-{n}.wav", record_path="2025/04") for n in range(6)]
    nights.night()
    archive.move("2025/04", "archive/2025-04")
    for sidecar in archive.files("archive/2025-04/*.json"):
        date = in_utc(archive.fields(sidecar)["date"])
        exported = {"exported_at": "2025-05-02T03:00:00Z", "date": date}
        archive.correct(sidecar, record_path="archive/2025-04", **exported)
    nights.night()
    assert nights.counts() == dict.fromkeys(range(6), 1)
    for name in names:
        moved = name.replace("2025/04", "archive/2025-04")
        assert nights.lines("duplicate")[moved]["duplicate_of"] == name
    nights.nothing_to_do()


def test_a_month_that_is_moved_and_exported_again_without_ids_is_held(archive, nights):
    for call in range(3):
        archive.add(call, f"2025/04/call-{call}.wav", client_id=None, record_path="2025/04")
    nights.night()
    archive.move("2025/04", "archive")
    for sidecar in archive.files("archive/*.json"):
        archive.correct(sidecar, record_path="archive")
    nights.night(code=1)
    assert set(nights.held().values()) == {"MOVED"}
    assert nights.counts() == dict.fromkeys(range(3), 1)
    nights.nothing_to_do()


def test_what_is_held_and_then_converted_stays_held(archive, nights):
    """Fault 107: it may still be the call that was moved, until somebody decides."""
    archive.add(1, "day/call-1.wav", client_id=None)
    archive.add(2, "day/call-2.wav")
    nights.night()
    archive.move("day/call-1.wav", "archive/call-1.wav")
    archive.move("day/call-1.json", "archive/call-1.json")
    archive.correct("archive/call-1.json", exported="2025-05-01")
    nights.night(code=1)
    archive.change("archive/call-1.wav", sound.converted, "wav", "mp3", to="archive/call-1.mp3")
    for _ in range(2):
        nights.night(code=1)
        assert nights.held() == {f"archive/call-1.{kind}": "MOVED" for kind in ("mp3", "wav")}
    nights.nothing_to_do()
    decided = ("archive/call-1.mp3", "--duplicate", "--connection-id", nights.connection)
    assert nights.command("resolve", archive, *decided).code == 0
    nights.night()
    assert nights.counts() == {1: 1, 2: 1}
    assert nights.held() == {}
    nights.nothing_to_do()


def test_a_call_that_is_moved_and_corrected_at_once_is_held(archive, nights):
    """Its name tells, or its time: not a prompt of another call."""
    for call in (1, 2):
        archive.add(call, f"day/call-{call}.wav")
    nights.night()
    archive.change("day/call-1.wav", bytes, to="archive/call-1.wav")
    archive.move("day/call-1.json", "archive/call-1.json")
    archive.move("day/call-2.wav", "archive/renamed.wav")
    archive.move("day/call-2.json", "archive/renamed.json")
    for sidecar in ("call-1", "renamed"):
        archive.correct(f"archive/{sidecar}.json", client_id=f"of {sidecar}")
    nights.night("--allow-empty", code=1)
    assert nights.held() == {"archive/call-1.wav": "MOVED", "archive/renamed.wav": "MOVED"}
    assert nights.counts() == {1: 1, 2: 1}
    nights.nothing_to_do()


@pytest.mark.parametrize("changed", [{"client_id": "17"}, {"date": "2025-04-02T10:11:12+03:00"}])
def test_a_sidecar_that_is_corrected(archive, nights, changed):
    archive.add(1, "call.wav")
    nights.night()
    archive.correct("call.json", **changed)
    assert "outdated 1" in nights.night().err
    assert nights.counts() == {1: 1}
    nights.nothing_to_do()


def test_a_sidecar_that_is_corrected_while_the_owner_of_all_changes(archive, nights):
    archive.add(1, "call.wav")
    archive.add(2)
    nights.night()
    archive.correct("call.json", client_id="17")
    for path in archive.folder.iterdir():
        os.chown(path, os.getuid(), os.getgid())
        path.chmod(0o640)
    assert "outdated 1" in nights.night().err
    assert nights.counts() == {1: 1, 2: 1}
    nights.nothing_to_do()


def test_a_corrected_recording_that_is_converted_later(archive, nights):
    """Fault 109: what is corrected is known as what it is called then."""
    archive.add(1, "call.wav")
    nights.night()
    archive.correct("call.json", client_id="17")
    nights.night()
    archive.change("call.wav", sound.converted, "wav", "mp3", to="call.mp3")
    nights.night()
    assert nights.counts() == {1: 1}
    nights.nothing_to_do()


@pytest.mark.parametrize("ids", [{}, {"date": "2025-04-24 14:34:19"}], ids=["ids", "none"])
@pytest.mark.parametrize("folder", ["a", "z"])
def test_a_call_that_is_corrected_and_copied_on_one_day(archive, nights, ids, folder):
    """The copy says what the sidecar of the call says now, and not what was sent."""
    archive.add(1, "day/call.wav", **ids)
    nights.night()
    archive.correct("day/call.json", client_id="corrected")
    archive.put(f"{folder}/call.wav", archive.read("day/call.wav"), call=1)
    archive.describe(f"{folder}/call.json", archive.fields("day/call.json"))
    nights.night()
    assert nights.counts() == {1: 1}
    assert len(nights.lines("duplicate")) == 1
    nights.nothing_to_do()


@pytest.mark.parametrize("name", ["call.mp3", "call.opus"])
def test_a_call_that_is_corrected_and_gets_another_format_on_one_day(archive, nights, name):
    archive.add(1, "call.wav")
    nights.night()
    told = archive.fields("call.json") | {"client_id": "corrected"}
    archive.remove("call.json")
    archive.put(name, sound.converted(archive.read("call.wav"), "wav", name[5:]), call=1)
    for each in ("call.wav", name):
        archive.describe(f"{each}.json", told)
    nights.night(code=1)
    assert nights.held() == {name: "TWO_FORMATS"}
    assert nights.counts() == {1: 1}
    nights.nothing_to_do()


@pytest.mark.parametrize("ids", [{}, {"date": "2025-04-24 14:34:19"}], ids=["ids", "none"])
def test_a_call_and_its_copy_that_are_exported_again(archive, nights, ids):
    for folder in ("backup", "day"):
        archive.add(1, f"{folder}/call.wav", **ids)
    nights.night()
    for folder in ("backup", "day"):
        archive.correct(f"{folder}/call.json", exported=folder, client_id="corrected")
    nights.night()
    assert nights.counts() == {1: 1}
    nights.nothing_to_do()


def test_a_recorder_that_uses_its_names_again(archive, nights):
    for night in range(4):
        for line in range(3):
            archive.add(3 * night + line, f"line-{line}.wav")
        nights.night()
    assert nights.counts() == dict.fromkeys(range(12), 1)
    assert archive.statuses() == {"uploaded": 12}
    nights.nothing_to_do()


def test_a_recorder_that_uses_its_names_again_without_any_metadata(archive, nights):
    """Fault 107."""
    nights.flags = ("--sidecar", "optional")
    for line in range(3):
        archive.put(f"line-{line}.wav", sound.call_wav(line), call=line)
    nights.night()
    for line in range(3):
        archive.put(f"line-{line}.wav", sound.call_wav(10 + line), call=10 + line)
    said = nights.night(code=1).err
    assert said.count("--cause changed-audio") in {1, 2}, "one group, with its commands"
    assert nights.held() == dict.fromkeys(archive.files("*.wav"), "CHANGED_AUDIO")
    assert nights.counts() == dict.fromkeys(range(3), 1)
    nights.nothing_to_do()
    resolve = ("resolve", archive, "--resend", "--cause", "changed-audio", "--yes")
    assert nights.command(*resolve, "--connection-id", nights.connection).code == 0
    nights.night()
    assert nights.counts() == dict.fromkeys([0, 1, 2, 10, 11, 12], 1)
    nights.nothing_to_do()


VENDOR = {"client_id": "12345", "operator_id": "1", "date": "2024-01-31T09:59:59+03:00"}
"""The values of an example that was copied into every sidecar."""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_values_of_an_example_in_every_sidecar(archive, nights):
    for call in range(5_000):
        seconds = 0.1 if call % 100 else (0.5, 4, 9)[call // 100 % 3]
        archive.add(call, f"{call % 50}/{call}.wav", seconds=seconds, **VENDOR)
    said = nights.night().err
    assert said.count("12345") == 1, said
    assert nights.counts() == dict.fromkeys(range(5_000), 1)
    assert "12345" not in nights.nothing_to_do().err, "it is said once"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_unknown_client_and_dates_to_the_minute(archive, nights):
    """Calls of the same minute and operator share an id that means nothing."""
    for call in range(8_000):
        date = f"2025-04-{1 + call // 500:02}T{9 + call // 60 % 8:02}:{call % 60:02}:00+03:00"
        known = {"client_id": "not known", "operator_id": "1", "date": date}
        archive.add(call, f"{call % 50}/{call}.wav", seconds=0.1, **known)
    said = nights.night().err
    assert said.count("not known") == 1, said
    assert nights.counts() == dict.fromkeys(range(8_000), 1)
    nights.nothing_to_do()


def test_an_archive_that_keeps_the_mp3_of_each_call_in_another_folder(archive, nights):
    for call in range(12):
        archive.add(call, f"wav/{call}.wav")
        made = sound.converted(sound.call_wav(call), "wav", "mp3")
        archive.add(call, f"mp3/{call}.mp3", content=made)
    nights.night(code=1)
    assert Counter(nights.held().values()) == {"SAME_DEFAULT_ID": 12}
    assert nights.counts() == dict.fromkeys(range(12), 1)
    nights.nothing_to_do()


def test_sides_of_calls_are_held_beside_their_mix(archive, nights):
    archive.add(1, "call.wav")
    archive.add(2, "call-in.wav")
    archive.add(3, "call.wav-out.wav")
    for _ in range(2):
        nights.night(code=1)
        assert nights.held() == {"call-in.wav": "LEG", "call.wav-out.wav": "LEG"}
    assert nights.counts() == {1: 1}
    nights.nothing_to_do()
    archive.remove("call.wav", "call.json")
    nights.night()
    assert nights.counts() == {1: 1, 2: 1, 3: 1}
    nights.nothing_to_do()


def test_a_side_of_a_call_that_was_there_before_its_mix(archive, nights):
    """It stays that talk while its audio does; what uses its name next is held."""
    archive.add(1, "call-in.wav")
    nights.night()
    archive.add(2, "call.wav")
    archive.change("call-in.wav", sound.remuxed, "wav")
    nights.night()
    assert nights.counts() == {1: 1, 2: 1}
    nights.nothing_to_do()
    archive.add(3, "call-in.wav")
    for _ in range(2):
        nights.night(code=1)
        assert nights.held() == {"call-in.wav": "LEG"}
    assert nights.counts() == {1: 1, 2: 1}
    nights.nothing_to_do()
    nights.command("resolve", archive, "call-in.wav", "--resend", "--yes")
    nights.night()
    assert nights.counts() == {1: 1, 2: 1, 3: 1}
    nights.nothing_to_do()


def test_a_call_that_was_split_by_a_hold(archive, nights):
    fields = fields_of(1)
    same = {name: fields[name] for name in ("date", "operator_id", "client_id")}
    archive.add(1, "call-part-1.wav", seconds=3)
    archive.add(2, "call-part-2.wav", seconds=7, **same)
    nights.night(code=1)
    (held,) = nights.held().items()
    assert held[1] == "SAME_DEFAULT_ID"
    assert nights.counts().total() == 1
    nights.nothing_to_do()
    nights.command("resolve", archive, held[0], "--resend", "--yes")
    nights.night()
    assert nights.counts() == {1: 1, 2: 1}
    nights.nothing_to_do()


def test_a_named_id_that_names_the_conversation(archive, nights):
    """Fault 108."""
    nights.flags = ("--call-id", "conversation")
    archive.add(1, "part-1.wav", conversation="c-77")
    archive.add(2, "part-2.wav", conversation="c-77")
    archive.add(3, "other.wav", conversation="c-78")
    said = nights.night(code=1).err
    assert list(nights.held().values()) == ["SAME_CALL_ID"]
    assert "--call-id" in said
    assert nights.counts().total() == 2
    assert nights.counts()[3] == 1
    nights.nothing_to_do()


def test_named_ids_tell_calls_apart_and_bring_them_together(archive, nights):
    """Whatever else is alike, or not: without a client there is no ID of its own kind."""
    nights.flags = ("--call-id", "ref")
    fields = {name: fields_of(1)[name] for name in ("date", "operator_id", "client_id")}
    archive.add(1, "day/a.wav", ref="1", **fields)
    archive.add(2, "day/b.wav", ref="2", **fields)
    archive.add(3, "day/c.wav", ref="3", client_id=None)
    archive.add(4, "day/d.wav", ref="4", client_id=None)
    nights.night()
    assert nights.counts() == {1: 1, 2: 1, 3: 1, 4: 1}
    archive.change("day/c.wav", sound.converted, "wav", "mp3", to="day/c.mp3")
    archive.move("day", "archive")
    for name in archive.files("archive/*.json"):
        archive.correct(name, exported="2025-05-02", client_name="as it is written now")
    archive.change("archive/d.wav", sound.converted, "wav", "opus", to="archive/d.opus")
    nights.night()
    assert nights.counts() == {1: 1, 2: 1, 3: 1, 4: 1}
    assert archive.statuses() == {"uploaded": 4, "duplicate": 4}
    nights.nothing_to_do()


def test_the_file_that_was_sent_stays_and_another_format_comes_later(archive, nights):
    with_sidecars_each(archive, 1, "call")
    archive.move("call.mp3", "../call.mp3")
    nights.night("--sidecar-wait", "0", code=1)
    archive.remove("call.mp3.json")
    nights.night()
    archive.move("../call.mp3", "call.mp3")
    archive.describe("call.mp3.json", fields_of(1))
    nights.night(code=1)
    assert nights.held() == {"call.mp3": "TWO_FORMATS"}
    assert nights.counts() == {1: 1}
    nights.nothing_to_do()


def with_sidecars_each(archive, call, name, channels=1, mp3_channels=None):
    """A WAV and the MP3 that was made of it, each with a sidecar."""
    content = sound.call_wav(call, 3.0, channels)
    how = ("-ac", str(mp3_channels or channels), "-c:a", "libmp3lame", "-b:a", "32k")
    archive.put(f"{name}.wav", content, call=call)
    archive.put(f"{name}.mp3", sound.ffmpeg(content, "wav", "mp3", *how), call=call)
    for kind in ("wav", "mp3"):
        archive.describe(f"{name}.{kind}.json", fields_of(call))


def test_two_formats_of_one_call_in_one_run(archive, nights):
    with_sidecars_each(archive, 1, "call")
    nights.night(code=1)
    assert list(nights.held().values()) == ["TWO_FORMATS"]
    assert nights.counts() == {1: 1}
    nights.nothing_to_do()


def test_the_other_format_goes_up_where_the_first_is_rejected(archive, nights):
    nights.connection = STEREO
    with_sidecars_each(archive, 1, "call", channels=1, mp3_channels=2)
    nights.night("--concurrency", "1", code=1)
    nights.night("--concurrency", "1", code=1)
    assert nights.lines("rejected").keys() == {"call.wav"}
    assert nights.lines("uploaded").keys() == {"call.mp3"}
    assert nights.counts() == {1: 1}
    nights.nothing_to_do()


ALIKE = {
    "a prompt": (sound.call_wav(0), 3),
    "a prompt once a night": (sound.call_wav(0), 1),
    "silence": (sound.wav(bytes(48_000)), 3),
    "silence once a night": (sound.wav(bytes(48_000)), 1),
    "silence that is not zero": (sound.wav(b"\x03\0" * 24_000), 1),
}


@pytest.mark.parametrize(("audio", "a_night"), ALIKE.values(), ids=ALIKE)
def test_prompts_and_silence_in_a_drop_folder(archive, nights, audio, a_night):
    """Calls that nobody answers sound alike, and the folder is emptied each day."""
    nights.flags = ("--allow-empty",)
    for night in range(4):
        archive.remove(*archive.files("*.wav"), *archive.files("*.json"))
        for line in range(a_night):
            archive.add(10 * night + line, content=audio)
        archive.add(10 * night + 5)
        # Said once that files leave it.
        nights.night(*([] if night else ["--allow-empty"]))
    dates = Counter(talk.fields["date"] for talk in nights.talks())
    calls = [10 * night + line for night in range(4) for line in (*range(a_night), 5)]
    assert dates == {fields_of(call)["date"]: 1 for call in calls}
    nights.nothing_to_do()


def to_mp3(archive, name):
    archive.change(name, sound.converted, "wav", "mp3", to=str(Path(name).with_suffix(".mp3")))


@pytest.mark.parametrize("runs_between", [0, 1])
def test_a_ledger_of_the_first_release_whose_recordings_are_converted_overnight(
    archive, nights, runs_between
):
    names = [archive.add(call, f"{call % 2}/call-{call}.wav") for call in range(6)]
    nights.night()
    bring_back_to(RELEASED, archive.folder / ".batch-uploader" / "ledger.db")
    for _ in range(runs_between):
        nights.night()
    for name in names:
        to_mp3(archive, name)
    assert "converted" in nights.night().err
    assert nights.counts() == dict.fromkeys(range(6), 1)
    nights.nothing_to_do()


@pytest.mark.parametrize("runs_between", [0, 1])
def test_a_ledger_of_the_first_release_whose_recordings_change_overnight(
    archive, nights, runs_between
):
    """What it lacks is learned from the files that are as they were; the others are never sent."""
    names = [archive.add(call, f"2025/04/call-{call}.wav", path="2025/04") for call in range(8)]
    nights.night()
    bring_back_to(RELEASED, archive.folder / ".batch-uploader" / "ledger.db")
    for _ in range(runs_between):
        nights.night()
    for name in names[:3]:
        archive.change(name, with_list)
    archive.change(names[3], sound.louder)
    for name in names[4:6]:
        moved = name.replace("2025/04", "moved")
        archive.move(name, moved)
        archive.move(Path(name).with_suffix(".json"), Path(moved).with_suffix(".json"))
        archive.correct(Path(moved).with_suffix(".json"), path="moved")
    archive.correct(Path(names[6]).with_suffix(".json"), client_id="17")
    assert nights.upload().code == 1
    assert nights.counts() == dict.fromkeys(range(8), 1)
