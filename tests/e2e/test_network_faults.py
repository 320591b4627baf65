"""What happens to whole runs on the way to the service and in it; its records are the judge."""

import json
import socket

import pytest
from e2e.conftest import API_KEY, assert_one_talk_each, emulator, events

from batch_uploader import upload_directory
from batch_uploader.pace.retry import RetryPolicy
from batch_uploader.run.options import RunOptions
from batch_uploader.sinks.speechsense.channel import Endpoint
from batch_uploader.sinks.speechsense.credentials import ApiKey

STAMP = "upload_key"
PATIENT = ("--stamp-field", STAMP, "--wait-for-doubt", "--hold", "2s")
STREAMS = ("--whole-limit", "0")


def names(count):
    return [f"{number}.wav" for number in range(count)]


def statuses(calls):
    return {path: line["status"] for path, line in calls.manifest().items()}


def attempts(log):
    lines = map(json.loads, log.read_text().splitlines())
    return [line for line in lines if line["event"] == "attempt_ended"]


class TestNobodyThere:
    @pytest.fixture
    def there(self, tmp_path):
        """A service that was up once, so its certificates are known."""
        with emulator(tmp_path / "there") as service:
            return service

    def begin(self, calls, program, there, port):
        """A run that was refused for a while."""
        calls.write(*names(5))
        where = (*there.flags, "--endpoint", f"127.0.0.1:{port}")
        flags = ("--api-key-file", calls.key_file, *PATIENT, "--progress", "json")
        process = program.start("upload", calls, *where, *flags)
        refusals = events(process, "attempt_ended")
        assert {next(refusals)["code"] for _ in range(6)} == {"UNAVAILABLE"}
        return process

    def goes_up_once(self, calls, program, there, port, process):
        with emulator(there.folder, "--port", port) as service:
            result = program.finish(process)
            assert result.code == 0, result.said
            assert_one_talk_each(calls, service, names(5))
        # Nothing was in doubt for a moment, so nothing was searched for.
        assert service.served == {"Upload": 5}

    def test_refused(self, calls, program, there):
        """Faults 14 and 27: tried again until somebody is there, and each is sent once."""
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            port = nobody.getsockname()[1]
        process = self.begin(calls, program, there, port)
        self.goes_up_once(calls, program, there, port, process)

    def test_a_stranger_with_a_certificate_of_his_own(self, calls, program, there, tmp_path):
        """Faults 14 and 68: to him nothing is sent, not even the key."""
        with emulator(tmp_path / "stranger") as stranger:
            port = stranger.address.rpartition(":")[2]
            process = self.begin(calls, program, there, port)
        assert (stranger.talks(), stranger.served) == ([], {})
        self.goes_up_once(calls, program, there, port, process)

    def test_no_such_name(self, calls, upload, service, tmp_path):
        """Fault 14: the run ends with nothing in doubt, the next one sends each once."""
        calls.write(*names(5))
        log = tmp_path / "log"
        nowhere = ("--endpoint", "no-such-host.invalid:443", "--max-outage", "2s")
        result = upload(*nowhere, "--log-file", log)
        assert result.code == 6, result.said
        assert calls.manifest() == {}
        assert len(attempts(log)) > 5, "it is tried again"
        assert upload().code == 0
        assert_one_talk_each(calls, service, names(5))


@pytest.mark.slow
class TestLine:
    @pytest.mark.parametrize(
        ("late", "cut"), [("1500ms", False), ("2500ms", True)], ids=["in time", "cut"]
    )
    def test_a_connection_that_is_ended_under_its_requests(
        self, calls, upload, start_service, late, cut
    ):
        """Fault 18: a second after GOAWAY the line is cut, and the talk may come after that."""
        calls.write(*names(6))
        log = calls.folder.parent / "log"
        with start_service("--connection-age", "1s", "--store-late", late) as service:
            result = upload(*PATIENT, "--log-file", log, to=service)
            assert result.code == 0, result.said
            assert_one_talk_each(calls, service, names(6))
        assert service.served["Upload"] == 6
        if cut:
            assert any("max connection age" in each["message"] for each in attempts(log))

    def test_an_outage_in_the_middle(self, calls, upload, start_service):
        """Fault 27: waited out, and no recording ran out of attempts."""
        calls.write(*names(150))
        with start_service("--outage", "2s+4s") as service:
            result = upload(*PATIENT, "--rate", "60/s", "--progress", "json", to=service)
            assert result.code == 0, result.said
            assert any(
                "cannot be reached" in event["reason"]
                for event in map(json.loads, result.out.splitlines())
                if event["event"] == "paused"
            )
            assert_one_talk_each(calls, service, names(150))


class TestStreams:
    @pytest.mark.parametrize("code", ["UNAVAILABLE", "ABORTED"])
    def test_refused_early_and_tried_again(self, calls, upload, start_service, code):
        """Fault 19: the half that is refused at its first message goes up in the end."""
        calls.write(*names(12), seconds=20)
        with start_service("--abort-early", "0.5", "--abort-code", code) as service:
            result = upload(*PATIENT, *STREAMS, to=service)
            assert result.code == 0, result.said
            assert_one_talk_each(calls, service, names(12))
        assert service.served["UploadAsStream"] > 12

    def test_refused_early_for_good(self, calls, upload, start_service):
        """Fault 19: rejected ones have no talk, whatever gRPC made of the status."""
        calls.write(*names(12), seconds=20)
        flags = ("--abort-early", "0.5", "--abort-code", "INVALID_ARGUMENT")
        with start_service(*flags) as service:
            result = upload(*PATIENT, *STREAMS, to=service)
            assert result.code == 1, result.said
            ends = statuses(calls)
            assert {*ends.values()} == {"uploaded", "rejected"}
            uploaded = {path: 1 for path, status in ends.items() if status == "uploaded"}
            assert service.counts(calls) == uploaded

    def test_accepted_early(self, calls, upload, start_service):
        """Fault 20: a talk ID is a talk ID, however little was read."""
        calls.write(*names(12), seconds=60)
        with start_service("--early-ok", "1") as service:
            result = upload(*STREAMS, to=service)
            assert result.code == 0, result.said
            assert all(talk.truncated for talk in service.talks(calls))
            assert_one_talk_each(calls, service, names(12))
            assert upload(*STREAMS, to=service).code == 0
        assert service.served == {"UploadAsStream": 12}

    def test_what_is_too_large_for_a_message_goes_in_pieces(self, calls, upload, start_service):
        """Fault 24: 17 MB are a stream."""
        calls.write("large.wav", seconds=17_000_000 / 32_000)
        calls.write("small.wav")
        with start_service() as service:
            result = upload(to=service)
            assert result.code == 0, result.said
            assert_one_talk_each(calls, service, ["large.wav", "small.wav"])
        assert service.served == {"Upload": 1, "UploadAsStream": 1}


@pytest.mark.slow
class TestDeadlines:
    """Deadlines are generous and no flag; a library may set them."""

    async def run(self, calls, service, **options):
        host, _, port = service.address.rpartition(":")
        retry = RetryPolicy(first_pause=0.1, deadline=1.0)
        return await upload_directory(
            calls.folder,
            connection_id="calls",
            endpoint=Endpoint(host, int(port), ca_file=service.folder / "tls" / "ca.pem"),
            credentials=ApiKey(API_KEY),
            stamp_field=STAMP,
            options=RunOptions(wait_for_doubt=True, retry=retry, **options),
        )

    async def test_stored_after_the_deadline(self, calls, start_service):
        """Fault 17: found when it is there, since the hold is longer; nothing is sent twice."""
        calls.write(*names(6))
        with start_service("--store-late", "3s") as service:
            summary = await self.run(calls, service, hold=6.0)
            assert summary.needs_attention == 0, summary.attention
            assert_one_talk_each(calls, service, names(6))
        assert service.served["Upload"] == 6

    async def test_silence(self, calls, start_service):
        """Fault 21: the deadline ends it; what is proved absent is sent again, till it is up.

        What came into doubt last waits for another one to go up.
        """
        # What this seed draws: one that is met with silence once, and one too often for a run.
        calls.write(*names(12), noise=1)
        with start_service("--silent", "0.5", "--seed", "27") as service:
            summary = await self.run(calls, service, hold=2.0, concurrency=1)
            assert {each.path: each.status for each in summary.attention} == {"6.wav": "in_doubt"}
            others = [name for name in names(12) if name != "6.wav"]
            assert service.counts(calls) == dict.fromkeys(others, 1)
        assert service.served["Upload"] > 12
        calls.write("last.wav")
        with start_service() as service:
            summary = await self.run(calls, service, hold=2.0)
            assert summary.needs_attention == 0, summary.attention
            assert_one_talk_each(calls, service, [*names(12), "last.wav"])


class TestService:
    def test_a_key_that_is_revoked_in_the_middle(self, calls, upload, start_service):
        """Fault 25: the run ends, marks nothing, and the next one goes on with another key."""
        calls.write(*names(150))
        with start_service("--revoke-after", "40") as service:
            result = upload("--concurrency", "8", to=service)
            assert result.code == 3, result.said
            assert 0 < len(service.talks(calls)) <= 40
            assert statuses(calls) == dict.fromkeys(service.counts(calls), "uploaded")
        # One window of what was in flight, and not the other hundred.
        assert service.served["Upload"] <= 40 + 2 * 8
        with start_service() as service:
            assert upload(to=service).code == 0
            assert_one_talk_each(calls, service, names(150))

    def test_a_pause_that_it_asks_for(self, calls, upload, start_service, tmp_path):
        """Fault 23: -1 is no retry: one request each, none of them stored."""
        calls.write(*names(10))
        with start_service("--unavailable", "1", "--pushback", "never") as service:
            assert upload(to=service).code == 1
            assert set(statuses(calls).values()) == {"failed"}
            assert service.talks(calls) == []
        assert service.served == {"Upload": 10}

    def test_two_talks_of_one_recording(self, calls, upload, start_service):
        """Fault 29: somebody lost the ledger and sent it again; a third time is not to be."""
        calls.write("a.wav", "b.wav")
        lost = ("--lose-answer", "1", "--lost-answer", "internal", "--search-unavailable", "1")
        with start_service(*lost) as service:
            for _ in range(2):
                (calls.folder / "manifest.jsonl").unlink(missing_ok=True)
                for file in (calls.folder / ".batch-uploader").glob("*"):
                    file.unlink()
                assert upload("--stamp-field", STAMP, to=service).code == 1
        with start_service() as service:
            result = upload(*PATIENT, to=service)
            assert result.code == 1, result.said
            assert "2 talks carry its key" in " ".join(result.said.split())
            assert set(statuses(calls).values()) == {"conflict"}
            assert service.counts(calls) == {"a.wav": 2, "b.wav": 2}
        assert service.served["Upload"] == 0
