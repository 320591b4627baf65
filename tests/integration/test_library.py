"""The library is as strict as the command line, and as careful."""

import json

import pytest
from support.audio_makers import wav, write_recording
from support.sink_servers import TalkServer

from batch_uploader import (
    ApiKey,
    DirectorySource,
    Ending,
    MemorySink,
    Resolution,
    Rules,
    RunOptions,
    Schema,
    SqliteLedger,
    Status,
    Uploader,
    Verdict,
    check_directory,
    directory_status,
    directory_uploader,
    export_manifest,
    rebuild_ledger,
    resolve_recordings,
    search_doubts,
    upload_directory,
)
from batch_uploader.core.errors import ConfigError, LedgerError, SourceError


async def upload(server, directory, **more):
    return await upload_directory(
        directory,
        connection_id="calls",
        endpoint=server.endpoint,
        credentials=ApiKey("k"),
        options=RunOptions(min_age=0, min_age_open=0, sidecar_wait=0),
        **more,
    )


async def test_a_directory_that_is_not_there_is_not_made(tmp_path):
    async with TalkServer() as server:
        with pytest.raises(SourceError, match=r"^the directory .* does not exist; "):
            await upload(server, tmp_path / "calls")
    assert list(tmp_path.iterdir()) == []


async def test_ledger_and_manifest_may_be_elsewhere_and_are_as_good(tmp_path):
    calls, state = tmp_path / "calls", tmp_path / "state"
    write_recording(calls)
    state.mkdir()
    places = {"ledger": str(state / "ledger.db"), "manifest": str(state / "talks.jsonl")}
    async with TalkServer() as server:
        first = await upload(server, str(calls), **places)
        again = await upload(server, str(calls), **places)
        # Without them it would go up once more.
        with pytest.raises((ConfigError, LedgerError), match=r"ledger\.db"):
            await upload(server, str(calls))
    assert (first.counts, again.counts, again.already_there) == ({Status.UPLOADED: 1}, {}, 1)
    (line,) = map(json.loads, (state / "talks.jsonl").read_text().splitlines())
    assert line["status"] == "uploaded"
    assert not (calls / "manifest.jsonl").exists()


async def test_strings_are_paths(tmp_path):
    write_recording(tmp_path / "calls")
    uploader = Uploader(
        source=DirectorySource(str(tmp_path / "calls")),
        sink=MemorySink(),
        ledger=SqliteLedger(str(tmp_path / "ledger.db"), "calls"),
        options=RunOptions(min_age=0, min_age_open=0, sidecar_wait=0),
    )
    async with uploader:
        assert (await uploader.run()).counts == {Status.UPLOADED: 1}


@pytest.mark.parametrize(
    "call",
    [
        lambda calls: upload_directory(calls, connection_id="calls", credentials=ApiKey("k")),
        lambda calls: directory_uploader(calls, connection_id="calls", credentials=ApiKey("k")),
        lambda calls: search_doubts(calls, credentials=ApiKey("k"), stamp_field="key"),
        lambda calls: resolve_recordings(calls, Resolution(Verdict.RESEND), paths=["a.wav"]),
        lambda calls: export_manifest(calls, calls / "talks.jsonl"),
        lambda calls: rebuild_ledger(calls, connection_id="calls"),
        check_directory,
        directory_status,
    ],
)
def test_another_event_loop_is_refused_before_anything_is_made(tmp_path, call):
    write_recording(tmp_path)
    before = sorted(tmp_path.iterdir())
    coroutine = call(tmp_path)
    with pytest.raises(ConfigError, match="asyncio"):
        coroutine.send(None)
    assert sorted(tmp_path.iterdir()) == before


async def test_the_field_of_the_stamp_is_the_programs_alone(tmp_path):
    calls = tmp_path / "calls"
    write_recording(calls)
    (calls / "a.json").write_text('{"key": "mine"}')
    async with TalkServer() as server:
        with pytest.raises(ConfigError, match="stamp field 'other'"):
            await upload(server, calls, stamp_field="key", rules=Rules(Schema(stamp_field="other")))
        summary = await upload(server, calls, stamp_field="key")
    assert summary.counts == {Status.INVALID: 1}
    assert summary.attention[0].failure.code == "sidecar-stamp"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("connection_id", ""),
        ("connection_id", "two words"),
        ("credentials", "the-secret-itself"),
        ("endpoint", "localhost:443"),
        ("ledger", ""),
        ("ledger", "manifest.jsonl"),
        ("ledger", "b.wav"),
        ("manifest", b"talks"),
        ("manifest", "a.json"),
        ("manifest", "."),
        ("listeners", print),
    ],
)
async def test_what_makes_no_sense_is_refused_before_anything_is_made(tmp_path, name, value):
    write_recording(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    if name in {"ledger", "manifest"} and isinstance(value, str) and value:
        value = tmp_path / value
    given = {"connection_id": "calls", "credentials": ApiKey("k"), name: value}
    with pytest.raises(ConfigError, match=f"\\b{name}\\b") as refused:
        await upload_directory(tmp_path, **given)
    assert "itself" not in str(refused.value)
    assert sorted(tmp_path.rglob("*")) == before


async def test_patterns_are_those_of_the_command_line(tmp_path):
    for folder in ("kept", "drafts"):
        write_recording(tmp_path / folder)
    (tmp_path / "kept" / "b.flac").write_bytes(b"fLaC")
    (tmp_path / "kept" / "b.json").write_text("{}")
    async with TalkServer() as server:
        with pytest.raises(ConfigError, match=r"^include "):
            await upload(server, tmp_path, include="*.flac")
        summary = await upload(server, tmp_path, include=["*.flac"], exclude=["drafts/**"])
    assert summary.counts == {Status.UPLOADED: 1, Status.INVALID: 1}


async def test_an_upload_that_is_drained_ends_in_order(tmp_path):
    write_recording(tmp_path)
    async with TalkServer() as server:
        uploader = await directory_uploader(
            tmp_path,
            connection_id="calls",
            endpoint=server.endpoint,
            credentials=ApiKey("k"),
            options=RunOptions(min_age=0, min_age_open=0, sidecar_wait=0),
        )
        assert not (tmp_path / ".batch-uploader").exists(), "nothing is made before it is entered"
        async with uploader:
            uploader.drain("the app shuts down")
            summary = await uploader.run()
    assert (summary.ending, summary.reason) == (Ending.INTERRUPTED, "the app shuts down")
    assert summary.counts == {}


async def test_a_run_may_follow_a_run_while_the_ledger_is_held(tmp_path):
    write_recording(tmp_path)
    options = RunOptions(min_age=0, min_age_open=0, sidecar_wait=0)
    async with TalkServer() as server:
        uploader = await directory_uploader(
            tmp_path,
            connection_id="calls",
            endpoint=server.endpoint,
            credentials=ApiKey("k"),
            options=options,
        )
        async with uploader:
            first = await uploader.run()
            uploader.drain("between two runs there is nothing to drain")
            (tmp_path / "b.wav").write_bytes(wav(2.0))
            (tmp_path / "b.json").write_text("{}")
            second = await uploader.run()
            third = await uploader.run()
        assert len(server.talks) == 2
    for summary, uploaded, before in ((first, 1, 0), (second, 1, 1), (third, 0, 2)):
        assert summary.ending is Ending.COMPLETED
        assert summary.counts.get(Status.UPLOADED, 0) == uploaded
        assert summary.already_there == before
    lines = (tmp_path / "manifest.jsonl").read_text().splitlines()
    assert len(lines) == 2
    async with SqliteLedger(tmp_path / ".batch-uploader" / "ledger.db", "calls") as ledger:
        runs = await ledger.runs(9)
    assert [run.end.ending for run in runs] == ["completed"] * 3
