"""Sidecars of other systems and tags, from the settings file to the talks."""

import json
from urllib.parse import quote

import pytest
from support.audio_makers import mp3
from unit.test_tags import frame, id3, text

SETTINGS = """
[defaults]
language = "ru-RU"

[metadata]
timezone = "Europe/Moscow"
"""


@pytest.fixture
def sent(calls, program, service, tmp_path):
    """Uploads by a settings file: the result, the talks by path, the errors by path."""

    def run(settings):
        file = tmp_path / "settings.toml"
        file.write_text(SETTINGS + settings)
        flags = (*service.flags, "--api-key-file", calls.key_file, "--config", file)
        result = program("upload", calls, *flags)
        count = len(service.talks())
        again = program("upload", calls, *flags)
        assert (again.code, len(service.talks())) == (result.code, count), again.said
        lines = calls.manifest()
        talks = {talk.talk_id: talk.fields for talk in service.talks()}
        fields = {path: talks[each["talk_id"]] for path, each in lines.items() if each["talk_id"]}
        return (
            result,
            fields,
            {path: each["error"] for path, each in lines.items() if each["error"]},
        )

    return run


def recording(calls, name, audio=None):
    """A recording without a sidecar of ours."""
    calls.write(name)
    (calls.folder / name).with_suffix(".json").unlink()
    if audio is not None:
        calls.put(name, audio)


CDR = """<?xml version="1.0"?>
<cdr core-uuid="c0de"><channel_data><direction>{direction}</direction></channel_data>
<variables><caller_id_name>{name}</caller_id_name><start_epoch>{epoch}</start_epoch></variables>
<callflow dialplan="XML"><caller_profile><caller_id_number>{number}</caller_id_number>
</caller_profile></callflow></cdr>"""


def test_the_records_of_freeswitch(calls, sent):
    for number in range(3):
        recording(calls, f"0f1e-{number}.wav")
        about = CDR.format(
            direction=["inbound", "outbound"][number % 2],
            name=quote(f"Ольга {number} +7"),
            epoch=1774592717 + number,
            number=f"7900123456{number}",
        )
        calls.put(f"a_0f1e-{number}.cdr.xml", about.encode())
    calls.put("a_0f1e-not-recorded.cdr.xml", CDR.encode())
    result, fields, errors = sent("""
    [[metadata.sidecar]]
    name = "a_{stem}.cdr.xml"
    [metadata.map]
    date = "variables.start_epoch | epoch"
    direction_outgoing = "channel_data.direction | outgoing"
    client_name = "variables.caller_id_name"
    client_id = "callflow.caller_profile.caller_id_number | phone"
    """)
    assert (result.code, errors) == (0, {}), result.said
    assert fields["0f1e-1.wav"] == {
        "date": "2026-03-27T09:25:18+03:00",
        "direction_outgoing": "true",
        "client_name": "Ольга 1 +7",
        "client_id": "79001234561",
        "language": "ru-RU",
    }
    assert len(fields) == 3


def test_a_sidecar_that_cannot_be_used_stops_no_other(calls, sent):
    """Fault 120: what cannot be used is named, and all others are uploaded."""
    bomb = '<!DOCTYPE c [<!ENTITY a "aaaa">]><c><agent>&a;</agent></c>'
    for name, about in {
        "bomb": bomb.encode(),
        "cut": b"<c><agent>7",
        "koi": '<?xml version="1.0" encoding="koi8-r"?><c><agent>Ольга</agent></c>'.encode(
            "koi8-r"
        ),
        "plain": b"<c><agent>Anna</agent><agent>Ivan</agent></c>",
    }.items():
        recording(calls, f"{name}.wav")
        calls.put(f"{name}.xml", about)
    result, fields, errors = sent("""
    [[metadata.sidecar]]
    name = "{stem}.xml"
    [metadata.map]
    operator_name = "agent if agent is string else agent | join(', ')"
    """)
    assert result.code == 1
    assert {path: each["operator_name"] for path, each in fields.items()} == {
        "koi.wav": "Ольга",
        "plain.wav": "Anna, Ivan",
    }
    assert {path: each["code"] for path, each in errors.items()} == {
        "bomb.wav": "sidecar-xml",
        "cut.wav": "sidecar-xml",
    }
    assert "it declares entities" in errors["bomb.wav"]["message"]


def test_one_file_for_a_folder_and_two_for_a_recording(calls, sent):
    for name in ("a/1.wav", "a/2.wav", "b/1.wav"):
        recording(calls, name)
    for folder in ("a", "b"):
        rows = [{"file": f"/old/{folder}/{n}.mp3", "agent": f"{folder}{n}"} for n in (1, 2)]
        calls.put(f"{folder}/index.json", json.dumps({"site": folder, "calls": rows}).encode())
    calls.put("a/1.wav.note.json", b'{"note": "first"}')
    result, fields, _ = sent("""
    [[metadata.sidecar]]
    name = "{name}.note.json"
    [[metadata.sidecar]]
    name = "index.json"
    records = "calls"
    match = "file"
    [metadata.map]
    operator_id = "agent"
    site = "site"
    note = "note | default('none')"
    """)
    assert result.code == 0, result.said
    told = {path: (f["operator_id"], f["site"], f["note"]) for path, f in fields.items()}
    assert told == {
        "a/1.wav": ("a1", "a", "first"),
        "a/2.wav": ("a2", "a", "none"),
        "b/1.wav": ("b1", "b", "none"),
    }


def test_tags_in_the_audio(calls, sent):
    tags = id3(
        frame(b"TPE1", text("Ольга Петрова")), frame(b"TXXX", text("CALL_SRC_NUM\0+79001234567"))
    )
    recording(calls, "tagged.mp3", tags + mp3(1.0))
    recording(calls, "bare.mp3", mp3(1.1))
    result, fields, errors = sent("""
    names = '(?P<what>.*)'
    [metadata.map]
    operator_name = "tags.artist"
    client_id = "tags.call_src_num | phone"
    """)
    assert result.code == 1
    assert fields == {
        "tagged.mp3": {
            "operator_name": "Ольга Петрова",
            "client_id": "79001234567",
            "language": "ru-RU",
        }
    }
    assert "it has no tags" in errors["bare.mp3"]["message"]


def test_a_file_for_a_folder_that_grows_makes_no_other_recording_look_changed(
    calls, program, service, tmp_path
):
    """Fault 116: a folder's file may grow each night like a table."""
    file = tmp_path / "settings.toml"
    declared = '[[metadata.sidecar]]\nname = "all.json"\nrecords = "calls"\nmatch = "file"\n'
    file.write_text(f'{SETTINGS}{declared}[metadata.map]\noperator_id = "agent"\n')
    flags = (*service.flags, "--api-key-file", calls.key_file, "--config", file)
    rows = []
    for night in range(3):
        recording(calls, f"{night}.wav")
        rows.insert(0, {"file": f"{night}.wav", "agent": f"a{night}"})
        calls.put("all.json", json.dumps({"calls": rows}, indent=night).encode())
        before = len(service.talks())
        result = program("upload", calls, *flags, "--progress", "json")
        assert result.code == 0, result.said
        assert len(service.talks()) == before + 1
        assert json.loads(result.out.splitlines()[-1])["outdated"] == 0
    talks = {talk.talk_id: talk.fields for talk in service.talks()}
    told = {path: talks[each["talk_id"]]["operator_id"] for path, each in calls.manifest().items()}
    assert told == {"0.wav": "a0", "1.wav": "a1", "2.wav": "a2"}

    rows[-1]["agent"] = "corrected"
    calls.put("all.json", json.dumps({"calls": rows}).encode())
    before = len(service.talks())
    result = program("upload", calls, *flags, "--progress", "json")
    assert len(service.talks()) == before
    assert json.loads(result.out.splitlines()[-1])["outdated"] == 1
