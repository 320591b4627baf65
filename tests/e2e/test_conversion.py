"""Audio that the service refuses is converted and goes up: once, whole, and not unasked."""

import hashlib
import json

import pytest
from support.sound_makers import call_wav, ffmpeg

CODECS = {
    "mu-law.wav": ("-c:a", "pcm_mulaw"),
    "a-law.WAV": ("-c:a", "pcm_alaw"),
    "gsm.wav": ("-c:a", "libgsm_ms"),
    "float.wav": ("-c:a", "pcm_f32le"),
    "vorbis.ogg": ("-c:a", "libvorbis"),
    "night/flac.flac": (),
}
TAKEN = ("--include", "*.flac")


@pytest.fixture
def archive(calls):
    """One call in each codec, with sidecars, and one that needs no conversion."""
    for number, (name, options) in enumerate(CODECS.items()):
        content = ffmpeg(
            call_wav(number, 2 + number), "wav", name.rpartition(".")[2].lower(), *options
        )
        calls.put(name, content)
        told = {"origin": str(calls), "name": name, "client_id": str(number)}
        calls.put(f"{name.rpartition('.')[0]}.json", json.dumps(told).encode())
    calls.write("plain.wav")
    return calls


def pcm_of(calls, name):
    """The digest of the WAV that must go up: a header of 44 bytes, and what ffmpeg decodes."""
    content = (calls.folder / name).read_bytes()
    kind = name.rpartition(".")[2].lower()
    made = ffmpeg(content, kind, "wav", "-c:a", "pcm_s16le", "-bitexact", "-map_metadata", "-1")
    assert made[36:40] == b"data"
    return hashlib.sha256(made).digest()


def test_each_goes_up_once_as_pcm(archive, upload, service, inside):
    checked = json.loads(inside("check", archive, *TAKEN, "--json").out)
    assert (checked["to_send"], checked["to_convert"]) == (len(CODECS) + 1, len(CODECS))
    assert checked["defects"] == []
    fast = json.loads(inside("check", archive, *TAKEN, "--fast", "--json").out)
    assert fast["to_convert_duration"] == checked["to_convert_duration"] > 20

    result = upload(*TAKEN)

    assert result.code == 0, result.err
    assert service.counts(archive) == dict.fromkeys([*CODECS, "plain.wav"], 1)
    sent = {talk.fields["name"]: talk for talk in service.talks(archive)}
    for number, name in enumerate(CODECS):
        assert sent[name].duration == pytest.approx(2 + number, abs=0.1)
        if name != "vorbis.ogg":  # decoders round it differently
            assert sent[name].sha256 == pcm_of(archive, name)
    manifest = archive.manifest()
    for name in CODECS:
        content = (archive.folder / name).read_bytes()
        assert manifest[name]["sha256"] == hashlib.sha256(content).hexdigest(), "of the file"
        assert manifest[name]["size"] == len(content)
        went_up = manifest[name]["sent"]
        assert went_up["sha256"] == sent[name].sha256.hex()
        assert (went_up["size"], went_up["format"]) == (sent[name].size, "wav")
    assert manifest["mu-law.wav"]["sent"]["converted_from"] == "ULAW in WAV"
    assert "sent" not in manifest["plain.wav"]
    assert upload(*TAKEN).code == 0
    assert len(service.talks(archive)) == len(CODECS) + 1


def test_the_call_that_is_converted_by_hand_later_is_the_same_call(archive, upload, service):
    assert upload(*TAKEN).code == 0
    content = (archive.folder / "mu-law.wav").read_bytes()
    archive.put("mu-law.wav", ffmpeg(content, "wav", "wav", "-c:a", "pcm_s16le"))

    result = upload(*TAKEN)

    assert result.code == 0, result.err
    assert len(service.talks(archive)) == len(CODECS) + 1


def test_what_is_cut_off_is_told_and_not_sent(archive, upload, service):
    whole = (archive.folder / "mu-law.wav").read_bytes()
    archive.put("mu-law.wav", whole[:-100])

    result = upload(*TAKEN)

    assert result.code == 1
    assert archive.manifest()["mu-law.wav"]["error"]["code"] == "truncated"
    assert "mu-law.wav" not in service.counts(archive)


def test_an_upgrade_waits_until_somebody_agrees(archive, upload, service, inside):
    """What earlier versions refused is not sent unasked, and then it is."""
    assert upload(*TAKEN, "--convert", "off").code == 1
    for _ in range(2):
        result = upload(*TAKEN)
        assert result.code == 1
        assert f"earlier versions refused {len(CODECS)} recordings" in result.said
        assert service.counts(archive) == {"plain.wav": 1}
    checked = inside("check", archive, *TAKEN)
    assert (checked.code, "--convert needed" in checked.said) == (1, True)

    assert upload(*TAKEN, "--convert", "needed").code == 0
    assert len(service.talks(archive)) == len(CODECS) + 1
    content = ffmpeg(call_wav(77), "wav", "wav", "-c:a", "pcm_mulaw")
    archive.put("new.wav", content)
    archive.put("new.json", json.dumps({"origin": str(archive), "name": "new.wav"}).encode())
    assert upload(*TAKEN).code == 0, "from now on without the flag"
    assert service.counts(archive)["new.wav"] == 1


@pytest.mark.parametrize(
    "meanwhile", [("--sample", "1"), ("--since", "2100-01-01"), "--acknowledge"]
)
def test_nor_does_what_became_of_them_meanwhile_send_them_unasked(
    archive, upload, program, service, meanwhile
):
    assert upload(*TAKEN, "--convert", "off").code == 1
    if isinstance(meanwhile, str):
        assert program("resolve", archive, *CODECS, meanwhile).code == 0
        assert upload(*TAKEN).code == 0
    else:
        upload(*TAKEN, *meanwhile)
        for _ in range(2):
            result = upload(*TAKEN)
            assert result.code == 1
        assert f"earlier versions refused {len(CODECS)} recordings" in result.said
    assert service.counts(archive) == {"plain.wav": 1}

    assert upload(*TAKEN, "--convert", "needed").code == 0
    assert service.counts(archive) == dict.fromkeys([*CODECS, "plain.wav"], 1)


def test_a_ledger_without_such_recordings_needs_no_flag_after_an_upgrade(archive, upload, service):
    for name in CODECS:
        (archive.folder / name).rename(archive.folder / f"{name}.later")
    for name in (*(f"{name.rpartition('.')[0]}.json" for name in CODECS),):
        (archive.folder / name).rename(archive.folder / f"{name}.later")
    assert upload(*TAKEN).code == 0
    archive.change_ledger("DELETE FROM facts WHERE name = ?", "converts")
    for path in archive.folder.rglob("*.later"):
        path.rename(path.with_suffix(""))

    assert upload(*TAKEN).code == 0
    assert len(service.talks(archive)) == len(CODECS) + 1


def unfinished(content):
    """A WAV whose recorder was killed: its header announces nothing."""
    at = content.index(b"data")
    return content[:4] + bytes(4) + content[8 : at + 4] + bytes(4) + content[at + 8 :]


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_mulaw"])
def test_a_header_that_was_never_finished_is_finished_once_the_file_is_still(
    calls, upload, service, inside, codec
):
    whole = ffmpeg(call_wav(5, 2), "wav", "wav", "-c:a", codec)
    calls.put("call.json", json.dumps({"origin": str(calls), "name": "call.wav"}).encode())
    calls.put("call.wav", unfinished(whole)[:-3000])
    (calls.folder / "call.wav").touch()
    for command in (("check", calls), ("check", calls, "--fast")):
        told = json.loads(inside(*command, "--json").out)
        assert (told["waiting"], told["defects"]) == (1, [])
    result = upload("--min-age", "0")
    assert (result.code, service.counts(calls)) == (0, {}), "it may still be being written"

    calls.put("call.wav", unfinished(whole))
    result = upload()
    assert result.code == 0, result.err
    (talk,) = service.talks(calls)
    assert talk.duration == pytest.approx(2)
    assert talk.sha256 == pcm_of(calls, "call.wav")


def test_opus_makes_all_pcm_small_and_sends_nothing_twice(archive, upload, service):
    first = upload(*TAKEN, "--convert", "opus", "--max-recordings", "4")
    assert first.code == 6, first.err
    for mode in ("opus", "needed", "opus"):
        result = upload(*TAKEN, "--convert", mode)
        assert result.code == 0, result.err
    assert service.counts(archive) == dict.fromkeys([*CODECS, "plain.wav"], 1)
    manifest = archive.manifest()
    sent = {talk.fields["name"]: talk for talk in service.talks(archive)}
    small = [name for name, line in manifest.items() if line["format"] == "ogg-opus"]
    assert len(small) >= 4
    for name in small:
        assert manifest[name]["sent"]["sha256"] == sent[name].sha256.hex()
        assert sent[name].duration == pytest.approx(manifest[name]["duration"], abs=0.01)
