"""What the commands do, as calls of the library: on real ledgers, against the emulator."""

import io
import json
from contextlib import aclosing

import pytest
from support.audio_makers import wav

from batch_uploader import (
    ApiKey,
    ConfigError,
    Endpoint,
    Format,
    LedgerError,
    LedgerLocked,
    Resolution,
    RunOptions,
    Security,
    SourceError,
    SqliteLedger,
    Status,
    Verdict,
    check_directory,
    directory_status,
    export_manifest,
    rebuild_ledger,
    resolve_recordings,
    search_doubts,
    upload_directory,
)
from batch_uploader.emulator import Connection, Emulator, EmulatorOptions, Faults, LostAnswer

STAMP = "upload_key"
KEY = "library-key"
LOST = Faults(lose_answer=1.0, lost_answer=LostAnswer.INTERNAL)
LOST_UNSEEN = Faults(lose_answer=1.0, lost_answer=LostAnswer.INTERNAL, search_unavailable=1.0)
OPTIONS = RunOptions(min_age=0, min_age_open=0, sidecar_wait=0, hold=1.0)
RESEND = Resolution(Verdict.RESEND)
GIVE_UP = Resolution(Verdict.GIVE_UP)
DOUBTS = {Status.IN_DOUBT, Status.CONFLICT}


@pytest.fixture
async def service(tmp_path):
    options = EmulatorOptions(
        store=tmp_path / "talks.db",
        connections=(Connection("calls"),),
        api_keys=frozenset({KEY}),
    )
    async with Emulator(options) as emulator:
        yield emulator


@pytest.fixture
def calls(tmp_path):
    folder = tmp_path / "calls"
    folder.mkdir()
    for number in range(2):
        write(folder, number)
    return folder


def write(calls, number):
    (calls / f"{number}.wav").write_bytes(wav(0.2 + number / 100))
    (calls / f"{number}.json").write_text(f'{{"n": "{number}"}}')


def account(service):
    host, _, port = service.address.rpartition(":")
    endpoint = Endpoint(host, int(port), Security.PLAINTEXT)
    return {"endpoint": endpoint, "credentials": ApiKey(KEY)}


async def upload(service, calls, **more):
    more = {"options": OPTIONS, **account(service), **more}
    return await upload_directory(calls, connection_id="calls", **more)


async def leave_in_doubt(service, calls, **more):
    service.control.faults = LOST_UNSEEN
    summary = await upload(service, calls, **more)
    assert summary.counts == {Status.IN_DOUBT: 2}
    service.control.faults = Faults()


def talks(service):
    return {f"{talk.fields['n']}.wav": talk.talk_id for talk in service.control.talks()}


def lines(text):
    return {line["path"]: line for line in map(json.loads, text.splitlines())}


async def counts(calls, **where):
    status = await directory_status(calls, **where)
    return {each: some.recordings for each, some in status.totals.items() if some.recordings}


class TestNothingThere:
    """Whatever is called makes nothing where nothing is there."""

    CALLS = (
        directory_status,
        lambda calls: export_manifest(calls, io.BytesIO()),
        lambda calls: resolve_recordings(calls, RESEND, statuses=DOUBTS),
        lambda calls: search_doubts(calls, credentials=ApiKey(KEY), stamp_field=STAMP),
    )
    MAY_BE_FIRST = (
        check_directory,
        lambda calls: rebuild_ledger(calls, connection_id="calls"),
        lambda calls: upload_directory(calls, connection_id="calls", credentials=ApiKey(KEY)),
    )

    @pytest.mark.parametrize("call", [*CALLS, *MAY_BE_FIRST])
    async def test_no_directory(self, tmp_path, call):
        with pytest.raises(SourceError, match="does not exist"):
            await call(tmp_path / "none")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("call", CALLS)
    async def test_no_ledger(self, calls, call):
        before = sorted(calls.rglob("*"))
        with pytest.raises(LedgerError, match="does not exist: nothing has been uploaded"):
            await call(str(calls))
        assert sorted(calls.rglob("*")) == before

    @pytest.mark.parametrize("call", [*CALLS, *MAY_BE_FIRST])
    async def test_no_path(self, call):
        with pytest.raises(ConfigError, match="directory"):
            await call("")


class TestCheck:
    async def test_it_says_what_would_be_sent_and_what_is_wrong(self, service, calls):
        await upload(service, calls)
        write(calls, 2)
        (calls / "bad.wav").write_bytes(b"no audio")
        (calls / "bad.json").write_text('{"n": null}')
        (calls / "lonely.json").write_text("{}")
        (calls / "left.ogg").write_bytes(b"no audio")
        before = sorted(calls.glob("*"))
        seen = []
        checked = await check_directory(
            str(calls), exclude=["*.ogg"], options=OPTIONS, listeners=[seen.append]
        )
        (found,) = seen
        assert (checked.to_send, checked.already_there, checked.defective) == (1, 2, 2)
        assert checked.to_send_bytes == (calls / "2.wav").stat().st_size
        assert checked.to_send_duration == pytest.approx(0.22)
        assert (checked.needs_attention, checked.found_nothing) == (2, False)
        assert {defect.path for defect in found.defects} == {"bad.wav", "bad.json", "lonely.json"}
        assert all(defect.cure for defect in found.defects)
        assert found.decisions == ()
        assert sorted(calls.glob("*")) == before

    async def test_what_earlier_runs_left_for_a_human_is_told(self, service, calls):
        await leave_in_doubt(service, calls)
        seen = []
        checked = await check_directory(
            calls,
            options=RunOptions(min_age=0, min_age_open=0, sidecar_wait=0, explain=True),
            listeners=[seen.append],
        )
        assert checked.carried_over == {Status.IN_DOUBT: 2}
        assert {outcome.path for outcome in seen[0].carried_over} == {"0.wav", "1.wav"}
        assert {path for path, _ in seen[0].decisions} == {"0.wav", "1.wav"}

    async def test_a_large_folder_comes_in_parts_and_is_counted_once(self, tmp_path):
        calls = tmp_path / "calls"
        for number in range(150):
            (calls / "a").mkdir(parents=True, exist_ok=True)
            write(calls / "a", number)
        seen = []
        checked = await check_directory(calls, options=OPTIONS, listeners=[seen.append])
        assert checked.to_send == 150
        assert sum(len(each.findings) for each in seen if each.folder == "a") == 150
        assert len(seen) > 2

    async def test_a_directory_that_was_never_uploaded_needs_no_ledger(self, calls):
        before = sorted(calls.rglob("*"))
        checked = await check_directory(calls, options=RunOptions(min_age=3600))
        assert (checked.waiting, checked.needs_attention) == (2, 0)
        assert sorted(calls.rglob("*")) == before

    async def test_a_ledger_that_is_lost_is_an_error(self, service, calls):
        await upload(service, calls)
        (calls / ".batch-uploader" / "ledger.db").unlink()
        with pytest.raises(LedgerError, match="is gone"):
            await check_directory(calls)

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"options": {"min_age": 0}}, "options is a value of the type dict"),
            ({"rules": "strict"}, "rules is a value of the type str"),
            ({"include": "*.pcm"}, "include is not a collection"),
            ({"connection_id": "two words"}, "connection_id"),
            ({"ledger": "calls/0.wav"}, "--ledger"),
        ],
    )
    async def test_what_makes_no_sense_is_refused(self, calls, monkeypatch, given, said):
        monkeypatch.chdir(calls.parent)
        with pytest.raises(ConfigError, match=said):
            await check_directory("calls", **given)


class TestStatus:
    async def test_it_says_what_became_of_all(self, service, calls):
        (calls / "bad.wav").write_bytes(b"no audio")
        await upload(service, calls)
        status = await directory_status(calls)
        assert status.totals[Status.UPLOADED].recordings == 2
        assert status.totals[Status.UPLOADED].nbytes == sum(
            (calls / f"{number}.wav").stat().st_size for number in range(2)
        )
        assert status.totals[Status.IN_DOUBT].recordings == 0
        assert (status.needs_attention, status.running, status.refusal) == (1, False, None)
        assert (status.connections, status.kept_aside) == (("calls",), 0)
        async with aclosing(status.records(Status.INVALID)) as records:
            assert [each.path async for each in records] == ["bad.wav"]

    async def test_a_claim_that_no_run_stands_behind_counts_as_in_doubt(self, calls):
        from support.ledger_cases import recording
        from support.ledger_changes import claim_all

        file = calls / ".batch-uploader" / "ledger.db"
        async with SqliteLedger(file, "calls") as ledger:
            await claim_all(ledger, [recording("0.wav", connection_id="calls")])
            status = await directory_status(calls)
            assert status.running
            assert await counts(calls) == {Status.CLAIMED: 1}
        assert await counts(calls) == {Status.IN_DOUBT: 1}
        status = await directory_status(calls)
        async with aclosing(status.records(Status.IN_DOUBT)) as records:
            assert [each.path async for each in records] == ["0.wav"]
        async with aclosing(status.records(Status.CLAIMED)) as records:
            assert [each async for each in records] == []

    async def test_a_ledger_that_no_run_would_go_on_with_is_told(self, service, calls):
        await upload(service, calls)
        older = {each: each.read_bytes() for each in (calls / ".batch-uploader").iterdir()}
        write(calls, 2)
        await upload(service, calls)
        for file in (calls / ".batch-uploader").iterdir():
            file.unlink()
        for file, content in older.items():
            file.write_bytes(content)
            file.chmod(0o600)
        status = await directory_status(calls)
        assert isinstance(status.refusal, LedgerError)
        assert status.totals[Status.UPLOADED].recordings == 2


class TestManifest:
    async def test_it_goes_to_a_file_or_a_stream(self, service, calls, tmp_path):
        await upload(service, calls)
        stream = io.BytesIO()
        assert await export_manifest(calls, stream) == 2
        assert {path: line["talk_id"] for path, line in lines(stream.getvalue()).items()} == talks(
            service
        )
        assert await export_manifest(calls, tmp_path / "out.jsonl") == 2
        assert (tmp_path / "out.jsonl").read_bytes() == stream.getvalue()
        assert await export_manifest(calls, str(tmp_path / "out.csv"), form=Format.CSV) == 2
        assert (tmp_path / "out.csv").read_text().startswith("path,status,talk_id,")

    @pytest.mark.parametrize("name", ["manifest.csv/out", "0.wav", ".batch-uploader/ledger.db"])
    async def test_it_replaces_nothing_that_is_needed(self, service, calls, name):
        await upload(service, calls)
        before = {each: each.read_bytes() for each in calls.rglob("*") if each.is_file()}
        with pytest.raises(ConfigError, match="--output"):
            await export_manifest(calls, calls / name)
        assert {each: each.read_bytes() for each in calls.rglob("*") if each.is_file()} == before


class TestResolve:
    async def test_what_may_be_billed_twice_is_asked_first(self, service, calls):
        await leave_in_doubt(service, calls)
        asked = []

        def answer(yes):
            return lambda stored: asked.append(stored) or yes

        no = await resolve_recordings(calls, RESEND, statuses=DOUBTS, confirm=answer(False))
        assert no is None
        assert await counts(calls) == {Status.IN_DOUBT: 2}
        resolved = await resolve_recordings(calls, RESEND, statuses=DOUBTS, confirm=answer(True))
        assert (resolved.paths, resolved.gone) == (("0.wav", "1.wav"), ())
        assert asked == [2, 2]
        assert {line["status"] for line in lines(read(calls)).values()} == {"failed"}
        assert (await upload(service, calls)).counts == {Status.UPLOADED: 2}

    async def test_a_talk_that_was_found_is_recorded_for_one_recording_alone(self, service, calls):
        await leave_in_doubt(service, calls)
        found = talks(service)["0.wav"]
        talk = Resolution(Verdict.UPLOADED, found)
        with pytest.raises(ConfigError, match="exactly one"):
            await resolve_recordings(calls, talk, paths=["0.wav", "1.wav"])
        # A path may be the file's as well.
        resolved = await resolve_recordings(calls, talk, paths=[str(calls / "0.wav")])
        assert resolved.paths == ("0.wav",)
        with pytest.raises(ConfigError, match=f"the talk {found} belongs to 0.wav"):
            await resolve_recordings(calls, talk, paths=["1.wav"])
        assert lines(read(calls))["0.wav"]["talk_id"] == found
        assert await counts(calls) == {Status.UPLOADED: 1, Status.IN_DOUBT: 1}

    async def test_what_is_given_up_is_not_sent(self, service, calls):
        await leave_in_doubt(service, calls)
        for suffix in ("wav", "json"):
            (calls / f"1.{suffix}").unlink()
        assert (await resolve_recordings(calls, GIVE_UP, statuses=DOUBTS)).paths == (
            "0.wav",
            "1.wav",
        )
        assert (await upload(service, calls)).counts == {}
        resolved = await resolve_recordings(calls, RESEND, paths=["0.wav", "1.wav"])
        assert resolved.gone == ("1.wav",)

    @pytest.mark.parametrize(
        ("resolution", "wanted", "said"),
        [
            (RESEND, {}, "it is unclear which recordings"),
            (
                RESEND,
                {"paths": ["0.wav"], "statuses": DOUBTS},
                "it is unclear which recordings",
            ),
            (RESEND, {"paths": "0.wav"}, "paths is not a collection"),
            (
                GIVE_UP,
                {"statuses": {Status.REJECTED}},
                "--rejected and --give-up contradict .*--resend",
            ),
            (
                RESEND,
                {"statuses": {Status.INVALID}},
                "invalid recordings and --resend contradict .*--acknowledge",
            ),
            ("resend", {"paths": ["0.wav"]}, "resolution is a value of the type str"),
            (RESEND, {"paths": ["none.wav"]}, "none.wav is not in the ledger"),
        ],
    )
    async def test_what_makes_no_sense_changes_nothing(
        self, service, calls, resolution, wanted, said
    ):
        await leave_in_doubt(service, calls)
        with pytest.raises(ConfigError, match=said):
            await resolve_recordings(calls, resolution, **wanted)
        assert await counts(calls) == {Status.IN_DOUBT: 2}

    @pytest.mark.parametrize("talk_id", ["", "two words", "x" * 201, "té"])
    def test_what_is_not_a_talk_id_is_refused_where_it_is_made(self, talk_id):
        with pytest.raises(ConfigError, match="--talk-id"):
            Resolution(Verdict.UPLOADED, talk_id)
        with pytest.raises(ConfigError, match="--talk-id and --resend contradict"):
            Resolution(Verdict.RESEND, "talk")

    async def test_it_waits_for_no_run(self, service, calls):
        await leave_in_doubt(service, calls)
        async with SqliteLedger(calls / ".batch-uploader" / "ledger.db", "calls"):
            with pytest.raises(LedgerLocked):
                await resolve_recordings(calls, RESEND, statuses=DOUBTS)

    async def test_ledger_and_manifest_may_be_elsewhere(self, service, calls, tmp_path):
        where = {"ledger": str(tmp_path / "l.db"), "manifest": tmp_path / "m.jsonl"}
        await leave_in_doubt(service, calls, **where)
        await resolve_recordings(calls, GIVE_UP, statuses=DOUBTS, **where)
        assert await counts(calls, **where) == {Status.GIVEN_UP: 2}
        assert {line["status"] for line in lines((tmp_path / "m.jsonl").read_text()).values()} == {
            "given_up"
        }


class TestSearch:
    async def test_what_is_stored_is_found(self, service, calls):
        await leave_in_doubt(service, calls, stamp_field=STAMP)
        heard = []
        searched = await search_doubts(
            calls, stamp_field=STAMP, hold=1.0, listeners=[heard.append], **account(service)
        )
        assert (searched.settled, searched.left) == ({Status.UPLOADED: 2}, ())
        assert searched.needs_attention == 0
        assert sorted(event.outcome.path for event in heard) == ["0.wav", "1.wav"]
        found = {path: line["talk_id"] for path, line in lines(read(calls)).items()}
        assert found == talks(service)

    async def test_what_was_sent_without_the_stamp_stays(self, service, calls):
        await leave_in_doubt(service, calls)
        searched = await search_doubts(calls, stamp_field=STAMP, **account(service))
        assert [doubt.path for doubt in searched.left] == ["0.wav", "1.wav"]
        assert searched.needs_attention == 2
        assert await counts(calls) == {Status.IN_DOUBT: 2}


class TestRebuild:
    async def test_a_lost_ledger_is_made_of_the_manifest(self, service, calls):
        await upload(service, calls, stamp_field=STAMP)
        write(calls, 2)
        for file in (calls / ".batch-uploader").iterdir():
            file.unlink()
        with pytest.raises(LedgerError, match="is gone"):
            await upload(service, calls)
        rebuilt = await rebuild_ledger(str(calls), connection_id="calls", stamp_field=STAMP)
        assert (rebuilt.talks, rebuilt.doubts, rebuilt.aside) == (2, 1, None)
        assert await counts(calls) == {Status.UPLOADED: 2, Status.IN_DOUBT: 1}
        # What nobody can know was sent is not sent.
        summary = await upload(service, calls, stamp_field=STAMP)
        assert (summary.counts, len(talks(service))) == ({Status.IN_DOUBT: 1}, 2)

    async def test_a_damaged_one_is_set_aside(self, service, calls):
        await upload(service, calls)
        file = calls / ".batch-uploader" / "ledger.db"
        file.write_bytes(b"damaged" * 1000)
        rebuilt = await rebuild_ledger(calls, connection_id="calls")
        assert (rebuilt.talks, rebuilt.doubts) == (2, 0)
        assert rebuilt.aside.read_bytes() == b"damaged" * 1000

    async def test_one_that_is_fine_is_left_alone(self, service, calls):
        await upload(service, calls)
        with pytest.raises(ConfigError, match="is fine"):
            await rebuild_ledger(calls, connection_id="calls")
        assert await counts(calls) == {Status.UPLOADED: 2}

    async def test_of_nothing_nothing_is_made(self, calls):
        before = sorted(calls.rglob("*"))
        with pytest.raises(LedgerError, match="does not exist, so the ledger cannot be rebuilt"):
            await rebuild_ledger(calls, connection_id="calls")
        assert sorted(calls.rglob("*")) == before


def read(calls):
    return (calls / "manifest.jsonl").read_text()
