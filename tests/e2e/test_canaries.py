"""What a search has to bring up before it is believed that another talk is not there."""

import sqlite3
from contextlib import closing

import pytest
from e2e.conftest import assert_one_talk_each

STAMP = ("--stamp-field", "upload_key", "--hold", "1s")
LOSSY = ("--lose-answer", "1", "--lost-answer", "internal", "--search-unavailable", "1")
YEAR_NS = 365 * 24 * 3600 * 10**9


class Index:
    """Search's index of an emulator, which stands still behind its first talks."""

    def __init__(self, folder):
        self._store = folder / "talks.db"

    def stand_still(self, behind):
        """Let Search see this many talks, and none that is stored later."""
        unseen = f"UPDATE talk SET created_at = created_at + {YEAR_NS}"  # noqa: S608 - a constant
        self._run(
            f"{unseen} WHERE seq > {behind}",
            f"CREATE TRIGGER behind AFTER INSERT ON talk BEGIN {unseen} WHERE seq = NEW.seq; END",
        )

    def go_on(self):
        """Let it see all of them."""
        self._run("DROP TRIGGER behind", "UPDATE talk SET created_at = modified_at")

    def _run(self, *statements):
        with closing(sqlite3.connect(self._store)) as store, store:
            for statement in statements:
                store.execute(statement)


@pytest.fixture
def lossy(calls, upload, start_service):
    """Uploads these recordings so that the service holds them and no answer says so."""

    def run(*names):
        calls.write(*names)
        with start_service(*LOSSY) as service:
            assert upload(*STAMP, to=service).code in {1, 6}
            assert set(names) <= service.counts(calls).keys()
        calls.age_doubts(60)
        return Index(service.folder)

    return run


def codes(calls):
    """Why what is in doubt is so, by path."""
    return {line["path"]: line["error"]["code"] for line in calls.in_doubt()}


def test_what_search_found_is_not_a_canary(calls, upload, lossy, start_service):
    """Fault 82: its index stands still right behind it."""
    names = ["a.wav", "b.wav", "c.wav"]
    for name in names:
        index = lossy(name)
    index.stand_still(behind=2)
    with start_service() as service:
        for _ in range(2):
            result = upload(*STAMP, "--wait-for-doubt", to=service)
            assert result.code == 1, result.err
            assert service.counts(calls) == dict.fromkeys(names, 1)
            assert codes(calls) == {"c.wav": "SEARCH_UNPROVED"}
        assert "the next upload with --stamp-field upload_key" in result.err
        assert "decide with resolve" in result.err
        index.go_on()
        assert upload(*STAMP, to=service).code == 0
        assert_one_talk_each(calls, service, names)


def test_what_a_clock_that_is_ahead_calls_the_latest_is_not_a_canary(
    calls, upload, lossy, start_service
):
    """Fault 83: three went up before the doubt, by a clock that has been set back since."""
    names = ["1.wav", "2.wav", "3.wav", "lost.wav", "since.wav"]
    calls.write(*names[:3])
    with start_service() as service:
        assert upload(*STAMP, to=service).code == 0
    calls.change_ledger("UPDATE recordings SET settled_at_ns = settled_at_ns + ?", YEAR_NS)
    index = lossy("lost.wav")
    index.stand_still(behind=3)
    calls.write("since.wav")
    with start_service() as service:
        for _ in range(2):
            result = upload(*STAMP, to=service)
            assert result.code == 1, result.err
            assert service.counts(calls) == dict.fromkeys(names, 1)
            assert codes(calls) == {"lost.wav": "SEARCH_BEHIND"}
        index.go_on()
        assert upload(*STAMP, to=service).code == 0
        assert_one_talk_each(calls, service, names)


def test_an_earlier_talk_of_a_canary_is_none(calls, upload, lossy, start_service, program):
    """Fault 82: sent again by a human, it is there twice, and Search knows the first alone."""
    names = ["again.wav", "lost.wav"]
    for name in names:
        index = lossy(name)
    index.stand_still(behind=1)
    assert program("resolve", calls, "again.wav", "--resend", "--yes").code == 0
    with start_service() as service:
        result = upload(*STAMP, to=service)
        assert result.code == 1, result.err
        assert service.counts(calls) == {"again.wav": 2, "lost.wav": 1}
        assert codes(calls) == {"lost.wav": "SEARCH_BEHIND"}


def test_what_went_up_since_proves_it_absent(calls, upload, start_service):
    """Faults 15 and 82: then it is sent again, and nothing was waited for in vain before that."""
    with start_service("--silent", "1") as service:
        calls.write("lost.wav")
        process = upload(*STAMP, "--progress", "json", to=service, start=True)
        next(line for line in process.stdout if b"upload_started" in line)
        process.kill()
        process.communicate()
    with start_service() as service:
        result = upload(*STAMP, "--wait-for-doubt", to=service)
        assert result.code == 1
        assert codes(calls) == {"lost.wav": "SEARCH_UNPROVED"}
        assert service.counts(calls) == {}
        calls.write("since.wav")
        assert upload(*STAMP, "--wait-for-doubt", to=service).code == 0
        assert_one_talk_each(calls, service, ["lost.wav", "since.wav"])
