"""Who says which files are legs, and who is heard on them: tables, names, and what looks so."""

import json

import pytest
from e2e.test_legs import IN_OUT
from support.leg_makers import LEFT, RIGHT, TONES, heard, put_legs, sides, tone, wav


def test_a_table_may_have_the_name_of_a_leg_and_say_sides_and_beginnings(
    calls, upload, listening, tmp_path
):
    for number in range(2):
        put_legs(calls, f"{number}.wav", seed=number, seconds=(2.0, 1.0))
        (calls.folder / f"{number}.json").unlink()
    (tmp_path / "cdr.csv").write_text(
        "recording,first_is,in_at,out_at\n0-in.wav,0,100,103.5\n1-in.wav,1,100,100\n"
    )
    config = tmp_path / "settings.toml"
    config.write_text(f"""
        agent-channel = "left"
        [legs]
        pattern = "-in/-out"
        first = {{ column = "first_is", agent = ["0"], client = ["1"] }}
        offsets = ["in_at", "out_at"]
        [[metadata.table]]
        file = "{tmp_path}/cdr.csv"
        match = {{ column = "recording", with = "name" }}
        [metadata.map]
        name = "file.name"
        origin = "'{calls}'"
    """)

    result = upload("--config", config, to=listening)

    assert result.code == 0, result.err
    audio = listening.audio()
    assert {name: len(samples) for name, (samples, _) in audio.items()} == {
        "0.wav": round(4.5 * 8000),
        "1.wav": 2 * 8000,
    }
    late, rate = audio["0.wav"]
    assert not late[: 3 * rate, RIGHT].any()
    assert heard(late[round(3.5 * rate) :, RIGHT], rate) == "out"
    assert heard(late[:, LEFT], rate) == "in"
    assert sides(listening)["1.wav"] == ("out", "in")


def test_what_looks_like_legs_is_told_and_proposed_and_not_joined(calls, upload, program, service):
    for number in range(3):
        put_legs(calls, f"{number}.wav", mix=True, seed=number)
    told = "3 pairs of files look like the two sides of a call"
    checked = program("check", calls)
    assert told in checked.err
    assert "--legs=-in/-out" in checked.err
    document = json.loads(program("check", calls, "--json").out)
    assert document["looks_like_legs"]["pattern"] == "-in/-out"
    result = upload()
    assert told in result.err
    assert service.counts(calls) == {f"{number}.wav": 1 for number in range(3)}
    assert told not in upload(*IN_OUT).err
    started = program("init", calls, "--output", calls.folder.parent / "new.toml")
    assert 'legs = ["-in/-out"]' in started.err
    assert "legs =" not in (calls.folder.parent / "new.toml").read_text()


@pytest.mark.parametrize("form", ["two columns", "a list"])
def test_a_table_may_name_the_legs_of_each_call(  # noqa: PLR0917 - fixtures
    calls, program, upload, listening, tmp_path, form
):
    for number in range(2):
        for what in TONES:
            calls.put(f"{number}/{what[0]}{number}7.wav", wav(tone(what, seed=number)))
    if form == "two columns":
        (tmp_path / "calls.csv").write_text(
            "call,agent,client\n0,o07.wav,i07.wav\n1,1/o17.wav,1/i17.wav\n2,missing.wav,\n"
        )
        files = '["agent", "client"]'
    else:
        rows = [{"call": n, "tracks": [f"o{n}7", f"i{n}7"]} for n in range(2)]
        (tmp_path / "calls.csv").with_suffix(".jsonl").write_text(
            "".join(f"{json.dumps(row)}\n" for row in rows)
        )
        files = '["tracks"]'
    table = "csv" if form == "two columns" else "jsonl"
    config = tmp_path / "settings.toml"
    config.write_text(f"""
        agent-channel = "right"
        [legs]
        files = {files}
        first = "agent"
        [metadata]
        names = '(?P<folder>[0-9]+)/.*'
        [[metadata.table]]
        file = "{tmp_path}/calls.{table}"
        match = {{ column = "call", with = "folder" }}
        [metadata.map]
        name = "call"
        origin = "'{calls}'"
    """)
    expected = {"0/o07+i07.wav", "1/o17+i17.wav"}

    checked = json.loads(program("check", calls, "--config", config, "--json").out)
    assert checked["to_send"] == 4  # with what is excluded below

    result = upload("--config", config, "--exclude", "m*.wav", to=listening)

    assert result.code == 0, result.err
    lines = calls.manifest()
    assert lines.keys() == expected
    assert lines["0/o07+i07.wav"]["parts"] == ["0/o07.wav", "0/i07.wav"]
    assert sides(listening) == {"0": ("in", "out"), "1": ("in", "out")}
    again = upload("--config", config, "--exclude", "m*.wav", to=listening)
    assert again.code == 0, again.err
    assert len(listening.talks()) == 2
