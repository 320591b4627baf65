"""In doubt and found out: lost answers with a stamp field, and without one."""

import json
import signal

import pytest
from e2e.conftest import assert_one_talk_each

STAMP = "upload_key"
PATIENT = ("--stamp-field", STAMP, "--wait-for-doubt", "--hold", "2s")
LOSSES = ["internal", "proxy", "reset", "blank"]


def names(count):
    return [f"{number % 3}/call-{number}.wav" for number in range(count)]


def counts(program, calls):
    document = json.loads(program("status", calls, "--json").out)
    return {
        name: each["recordings"] for name, each in document["totals"].items() if each["recordings"]
    }


@pytest.mark.parametrize("loss", LOSSES)
def test_a_fifth_of_the_answers_lost_and_each_has_one_talk(
    calls, upload, program, start_service, loss
):
    """Faults 16, 29 and 30: what is lost is found by its stamp, though Search lags and fails.

    A connection that is reset takes some along that were not stored; where nothing went up after
    them, the upload of another recording shows it.
    """
    written = names(40)
    lost = ("--lose-answer", "0.2", "--lost-answer", loss, "--seed", "3")
    with start_service(*lost, "--search-lag", "0.5", "--search-unavailable", "0.2") as service:
        calls.write(*written)
        for more in range(4):
            result = upload(*PATIENT, to=service)
            if result.code == 0 or loss != "reset":
                break
            assert {line["error"]["code"] for line in calls.in_doubt()} == {"SEARCH_UNPROVED"}
            written.append(f"more-{more}.wav")
            calls.write(written[-1])
        assert result.code == 0, result.err
        assert_one_talk_each(calls, service, written)
        assert counts(program, calls) == {"uploaded": len(written)}
        assert upload(*PATIENT, to=service).code == 0
        assert_one_talk_each(calls, service, written)


def test_the_same_without_a_stamp_field_is_for_a_human(calls, upload, program, start_service):
    """Faults 16 and 29: nothing can be searched for, so nothing is sent again by itself."""
    calls.write(*names(20))
    with start_service("--lose-answer", "0.5", "--lost-answer", "internal") as service:
        assert upload(to=service).code == 1
        doubtful = [path for path, line in calls.manifest().items() if line["status"] != "uploaded"]
        assert len(doubtful) > 2
        assert counts(program, calls) == {"in_doubt": len(doubtful), "uploaded": 20 - len(doubtful)}
        assert upload(to=service).code == 1
        assert service.counts(calls) == dict.fromkeys(names(20), 1)

        first, second, *others = doubtful
        talk_ids = {talk.fields["name"]: talk.talk_id for talk in service.talks(calls)}
        found = program("resolve", calls, first, "--talk-id", talk_ids[first])
        assert found.code == 0, found.err
        assert calls.manifest()[first]["talk_id"] == talk_ids[first]
        assert program("resolve", calls, second, "--resend", "--yes").code == 0
        for path in others:
            assert program("resolve", calls, path, "--talk-id", talk_ids[path]).code == 0
        again = upload(to=service)
        # Its answer may be lost once more; what was decided is done.
        assert again.code in {0, 1}
        assert service.counts(calls) == {**dict.fromkeys(names(20), 1), second: 2}


def test_a_killed_run_leaves_claims_that_the_next_one_settles(
    calls, upload, program, start_service
):
    """Faults 1, 10 and 16: the talks are there, or they are not, and nobody has to know which."""
    calls.write(*names(30))
    with start_service("--store-late", "0.3", "--search-lag", "0.5") as service:
        process = upload("--stamp-field", STAMP, "--progress", "json", to=service, start=True)
        started = 0
        for line in process.stdout:
            started += b"upload_started" in line
            if started == 10:
                break
        process.kill()
        process.communicate()
        assert counts(program, calls)["in_doubt"] > 0
        result = upload(*PATIENT, to=service)
        assert result.code == 0, result.err
        assert_one_talk_each(calls, service, names(30))


@pytest.mark.parametrize(
    ("dies", "stored"), [("--die-before-storing", 0), ("--die-after-storing", 1)]
)
def test_a_service_that_dies_with_the_last_byte(calls, upload, start_service, dies, stored):
    """Faults 15 and 16: in doubt; the next run finds the talk, or that there is none."""
    calls.write("a.wav", "b.wav")
    once = ("--stamp-field", STAMP, "--concurrency", "1", "--max-duration", "2s")
    with start_service(dies, "1") as service:
        assert upload(*once, to=service).code in {1, 6}
        assert len(service.talks(calls)) == stored
        assert [line["status"] for line in calls.manifest().values()] == ["in_doubt"]
    with start_service() as service:
        result = upload(*PATIENT, to=service)
        assert result.code == 0, result.err
        assert_one_talk_each(calls, service, ["a.wav", "b.wav"])


class TestResolveSearch:
    def search(self, program, calls, service, *flags):
        asked = ("--search", "--stamp-field", STAMP, "--hold", "2s")
        key = ("--api-key-file", calls.key_file)
        return program("resolve", calls, *service.flags, *asked, *key, *flags)

    def test_it_finds_what_is_up_and_leaves_what_is_absent_to_the_next_run(
        self, calls, upload, program, start_service
    ):
        calls.write("a.wav")
        with start_service() as service:
            assert upload("--stamp-field", STAMP, to=service).code == 0
        calls.write("b.wav", "c.wav")
        lost = ("--lose-answer", "1", "--lost-answer", "internal", "--search-unavailable", "1")
        with start_service(*lost) as service:
            result = upload("--stamp-field", STAMP, to=service)
            assert result.code == 1
            assert "UNAVAILABLE" in result.err
        with start_service() as service:
            found = self.search(program, calls, service)
            assert found.code == 0, found.err
            assert "2 recordings up" in found.err
            assert_one_talk_each(calls, service, ["a.wav", "b.wav", "c.wav"])
            assert "nothing is in doubt" in self.search(program, calls, service).err

    def test_without_the_stamp_it_says_so(self, calls, upload, program, start_service):
        calls.write("a.wav")
        with start_service("--lose-answer", "1", "--lost-answer", "internal") as service:
            assert upload(to=service).code == 1
            result = self.search(program, calls, service)
            assert result.code == 1
            assert f"it was sent without {STAMP}" in result.err
            assert counts(program, calls) == {"in_doubt": 1}

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
    def test_a_signal_ends_it_in_good_order(self, calls, upload, program, start_service, number):
        """Fault 72: between two misses, a minute apart."""
        calls.write("a.wav")
        with start_service() as service:
            assert upload("--stamp-field", STAMP, to=service).code == 0
        calls.write("b.wav")
        with start_service("--silent", "1") as service:
            process = upload("--stamp-field", STAMP, "--progress", "json", to=service, start=True)
            next(line for line in process.stdout if b"upload_started" in line)
            process.kill()
            process.communicate()
        calls.write("c.wav")
        with start_service() as service:
            asked = ("--search", "--stamp-field", STAMP, "--hold", "60s", *service.flags)
            assert upload("--stamp-field", STAMP, to=service).code == 1
            calls.age_doubts(120)
            process = program.start("resolve", calls, *asked, "--api-key-file", calls.key_file)
            first = process.stderr.readline()
            assert b"searching for 1 recording again" in first
            process.send_signal(number)
            result = program.finish(process)
            assert result.code == 128 + number, result.said
            assert f"stopped by {number.name}" in result.err
            assert calls.manifest()["b.wav"]["error"]["code"] == "MISSED_ONCE"

    @pytest.mark.parametrize("flags", [["--stamp-field", "other"], ["--connection-id", "cals"]])
    def test_what_it_would_not_look_for_is_told(self, calls, upload, program, start_service, flags):
        calls.write("a.wav")
        lost = ("--lose-answer", "1", "--lost-answer", "internal", "--search-unavailable", "1")
        with start_service(*lost) as service:
            assert upload("--stamp-field", STAMP, to=service).code == 1
            result = self.search(program, calls, service, *flags)
            assert result.code in {1, 2}
            cures = (f"add --stamp-field {STAMP}", "specify one of calls")
            assert any(cure in result.err for cure in cures)
            said = program("status", calls).out
            assert said.index("--talk-id ID") < said.index(f"a run with --stamp-field {STAMP}")
            assert said.index(f"a run with --stamp-field {STAMP}") < said.index("--resend")
            document = json.loads(program("status", calls, "--json").out)
            assert document["attention"][0]["stamp_field"] == STAMP

    @pytest.mark.parametrize(
        ("flags", "said"),
        [
            (["--search", "--resend"], "--search decides by itself"),
            (["--search", "a.wav"], "--search covers all"),
            (["--search"], "--search needs a stamp field"),
            (["--search", "--stamp-field", "f", "--hold", "0"], "specify at least a second"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, calls, upload, inside, flags, said):
        calls.write("a.wav")
        assert upload().code == 0
        key = ("--api-key-file", calls.key_file)
        result = inside("resolve", calls, *key, *flags)
        assert result.code == 2, result.err
        assert said in result.err


def test_waiting_without_a_stamp_field_is_refused(calls, upload):
    calls.write("a.wav")
    result = upload("--wait-for-doubt")
    assert result.code == 2
    assert "add --stamp-field" in result.err
