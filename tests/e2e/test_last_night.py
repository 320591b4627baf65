"""What ``status`` and ``runs`` tell of the runs: also of those that never came to their ledger."""

import json
import shutil
import sys
import time

import anyio
import pytest
from support.ledger_cases import CONNECTION, recording
from support.ledger_changes import claim_all

from batch_uploader.ledgers.sqlite import SqliteLedger


@pytest.fixture
def ask(program, calls):
    """``status --json``, with the exit code of the command."""

    def run(*flags):
        result = program("status", calls, "--json", *flags)
        told = json.loads(result.out)
        assert told["fine"] == (result.code == 0)
        return told, result.code

    return run


@pytest.fixture
def listed(program, calls):
    def run(*flags):
        result = program("runs", calls, "--json", *flags)
        assert result.code == 0
        return json.loads(result.out)["runs"]

    return run


def words(result):
    return " ".join(result.said.split())


def test_a_good_night_is_fine_and_says_what_it_did(calls, upload, program, ask):
    calls.write("a.wav", "b.wav")
    assert upload().code == 0
    told, code = ask()
    (connection,) = told["connections"]
    assert (code, connection["last_run"]["exit_code"], connection["backlog"]) == (0, 0, 0)
    assert connection["last_run"] == connection["last_success"]
    assert connection["last_run"]["counts"]["uploaded"] == 2
    assert "ended with exit code 0; uploaded 2 recordings" in words(program("status", calls))


def test_after_a_night_with_a_wrong_key_it_is_not_green(calls, upload, program, service, ask):
    calls.write("a.wav")
    calls.key_file.write_text("unknown")
    assert upload().code == 3
    told, code = ask()
    (connection,) = told["connections"]
    assert (code, connection["last_run"]["exit_code"], connection["last_success"]) == (1, 3, None)
    assert told["totals"]["uploaded"]["recordings"] == 0
    shown = words(program("status", calls))
    assert f"ended with exit code 3: {service.address} does not accept the" in shown
    assert "no run to the connection calls on record has succeeded" in shown


def test_a_first_night_without_a_key_is_on_record_before_there_is_a_ledger(
    calls, upload, program, ask, listed
):
    calls.write("a.wav")
    calls.key_file.unlink()
    assert upload().code == 2
    assert not calls.ledger.exists()
    told, code = ask()
    (connection,) = told["connections"]
    assert (code, connection["last_run"]["exit_code"]) == (1, 2)
    assert connection["last_run"]["reason"].startswith("--api-key-file: no such file")
    assert "ended with exit code 2: --api-key-file" in words(program("status", calls))
    assert [run["exit_code"] for run in listed()] == [2]


def test_a_first_night_without_the_share_leaves_nothing_on_the_mount_point(calls, upload, program):
    assert upload().code == 4
    assert list(calls.folder.iterdir()) == []
    result = program("status", calls)
    assert result.code == 1
    assert "ended with exit code 4" in words(result)
    assert "has no recordings" in words(result)


def test_a_night_without_the_directory_itself_is_told_with_the_error(calls, upload, program):
    calls.write("a.wav")
    assert upload().code == 0
    away = calls.folder.with_name("away")
    calls.folder.rename(away)
    assert upload().code == 4
    for command in ("status", "runs"):
        result = program(command, calls)
        assert result.code == 4
        assert "note: the run of" in result.err
        assert "ended with exit code 4" in result.err


def _with_a_mistake_in_the_settings(folder):
    (folder / "job.toml").write_text("grce = 1")
    return "--config", folder / "job.toml"


def _with_metrics_that_would_replace_a_link(folder):
    (folder / "job.prom").symlink_to(folder / "job")
    return "--metrics-file", folder / "job.prom"


@pytest.mark.parametrize(
    "mistaken", [_with_a_mistake_in_the_settings, _with_metrics_that_would_replace_a_link]
)
def test_a_night_whose_settings_are_refused_is_not_green(calls, upload, ask, listed, mistaken):
    calls.write("a.wav")
    flags = mistaken(calls.folder.parent)
    for earlier in ([], [0, 2]):
        assert upload(*flags).code == 2
        told, code = ask()
        (connection,) = told["connections"]
        assert (code, connection["last_run"]["exit_code"]) == (1, 2)
        assert "job." in connection["last_run"]["reason"]
        assert upload().code == 0
        assert [run["exit_code"] for run in listed()] == [0, 2, *earlier]


def test_a_bad_night_after_good_ones_is_told_until_a_good_one_follows(
    calls, upload, ask, listed, tmp_path
):
    calls.write("a.wav")
    assert upload().code == 0
    key = calls.key_file.rename(tmp_path / "moved")
    assert upload().code == 2
    told, code = ask()
    (connection,) = told["connections"]
    assert (code, connection["last_run"]["exit_code"]) == (1, 2)
    assert connection["last_success"]["exit_code"] == 0
    assert [run["exit_code"] for run in listed()] == [2, 0]
    key.rename(calls.key_file)
    assert upload().code == 0
    assert ask()[1] == 0
    assert [run["exit_code"] for run in listed()] == [0, 2, 0]


def test_what_a_limit_left_is_the_backlog(calls, upload, program, ask):
    calls.write("a.wav", "b.wav", "c.wav")
    assert upload("--max-recordings", "1").code == 6
    told, code = ask()
    (connection,) = told["connections"]
    assert (code, connection["backlog"], connection["last_run"]["left_over"]) == (1, 2, 2)
    shown = words(program("status", calls))
    assert "2 recordings left to the next run" in shown


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_run_that_was_killed_is_told_before_any_other_follows(
    calls, upload, program, start_service, ask
):
    calls.write("a.wav")
    with start_service("--latency", "60s") as service:
        process = upload("--progress", "json", to=service, start=True)
        for line in process.stdout:
            if json.loads(line)["event"] == "upload_started":
                break
        told, code = ask()
        (connection,) = told["connections"]
        assert (code, connection["last_run"]) == (0, None), "it goes on"
        assert connection["going_on"]["ending"] is None
        process.kill()
        process.communicate()
    told, code = ask()
    (connection,) = told["connections"]
    assert (code, connection["last_run"]["ending"], connection["going_on"]) == (1, "killed", None)
    assert connection["kinds"] == [
        {"status": "in_doubt", "code": "RUN_ENDED", "recordings": 1, "new": 1}
    ]
    assert "was killed" in words(program("status", calls))


def test_a_day_without_a_run_is_told_and_a_day_with_one_is_not(calls, upload, program, ask):
    calls.write("a.wav")
    assert upload().code == 0
    assert ask("--since", "24h")[1] == 0
    day = 86_400 * 10**9
    calls.change_ledger(
        "UPDATE runs SET began_at_ns = began_at_ns - ?, ended_at_ns = ended_at_ns - ?", *(day,) * 2
    )
    told, code = ask("--since", "24h")
    assert (code, told["never_ran"], told["connections"][0]["runs"]) == (1, True, [])
    assert "warning: no run in the last 24h" in words(program("status", calls, "--since", "24h"))
    assert ask("--since", "25h")[1] == 0
    assert ask()[1] == 0


def test_a_bad_run_of_the_day_counts_with_since_though_a_good_one_followed(calls, upload, ask):
    calls.write("a.wav", "b.wav")
    assert upload("--max-recordings", "1").code == 6
    assert upload().code == 0
    assert ask()[1] == 0
    told, code = ask("--since", "24h")
    (connection,) = told["connections"]
    assert (code, [run["exit_code"] for run in connection["runs"]]) == (1, [0, 6])


def test_defects_that_stay_are_told_from_new_ones(calls, upload, program, ask):
    calls.write("a.wav")
    for name in ("one.wav", "two.wav", "three.wav"):
        calls.broken(name, b"no audio")
    assert upload().code == 1
    kind = {"status": "invalid", "code": "unknown", "recordings": 3, "new": 3}
    assert ask()[0]["connections"][0]["kinds"] == [kind]
    assert upload().code == 1
    assert ask()[0]["connections"][0]["kinds"] == [kind | {"new": 0}]
    assert "unknown: 3 known" in words(program("status", calls))
    # One is mended, and another one comes: the number is the same.
    calls.write("two.wav")
    calls.broken("four.wav", b"no audio")
    assert upload().code == 1
    told, _ = ask()
    assert told["connections"][0]["kinds"] == [kind | {"new": 1}]
    assert {row["path"]: row["new"] for row in told["attention"]} == {
        "four.wav": True,
        "one.wav": False,
        "three.wav": False,
    }
    shown = words(program("status", calls))
    assert "unknown: 2 known, 1 new" in shown
    assert shown.index("four.wav") < shown.index("one.wav")


def test_each_connection_has_its_own_last_run(calls, upload, program, service, ask):
    calls.write("a.wav")
    assert upload().code == 0
    assert upload("--connection-id", "no-such", to=service).code == 3
    told, code = ask()
    endings = {each["connection_id"]: each["ended_badly"] for each in told["connections"]}
    assert (code, endings) == (1, {"calls": False, "no-such": True})
    assert ask("--connection-id", "calls")[1] == 0
    shown = words(program("status", calls))
    assert "to the connection no-such ended with exit code 3" in shown
    assert "no run to the connection no-such on record has succeeded" in shown


def test_runs_are_listed_the_latest_first_and_no_more_than_asked_for(
    calls, upload, program, listed
):
    calls.write("a.wav", "b.wav")
    assert upload("--max-recordings", "1").code == 6
    assert upload().code == 0
    assert upload().code == 0
    assert [run["counts"]["uploaded"] for run in listed()] == [0, 1, 1]
    assert [run["ending"] for run in listed("--limit", "2")] == ["completed", "completed"]
    lines = program("runs", calls).out.splitlines()
    assert [line.split()[4:6] for line in lines[1:4]] == [
        ["completed", "0"],
        ["completed", "0"],
        ["limit", "6"],
    ]
    assert "--max-recordings" in lines[4]
    began = time.strptime(listed("--limit", "1")[0]["began_at"][:19], "%Y-%m-%dT%H:%M:%S")
    assert abs(time.mktime(began) - time.mktime(time.gmtime())) < 600


@pytest.mark.parametrize("since", ["999999999999999d", "100000d"])
@pytest.mark.parametrize("command", ["status", "runs"])
def test_more_time_than_there_was_is_all_of_it(calls, upload, program, command, since):
    calls.write("a.wav")
    assert upload().code == 0
    result = program(command, calls, "--since", since)
    assert result.code == 0
    assert words(result)


@pytest.mark.parametrize("flags", [("--limit", "0"), ("--since", "yesterday")])
def test_a_limit_or_a_time_that_is_none_is_refused(calls, program, flags):
    result = program("runs", calls, *flags)
    assert result.code == 2
    assert f"error: {flags[0]}" in result.err


@pytest.fixture
def doubtful(calls):
    """Two recordings in doubt, with what a console shows of their talks."""
    calls.write("d/a.wav", date="2025-04-24 14:34:19", operator_id="7", operator_name="Анна П.")
    calls.write("b.wav", date="2025-04-25 10:00:00", operator_id="8")

    async def claim():
        async with SqliteLedger(calls.ledger, CONNECTION) as ledger:
            await claim_all(ledger, [recording(name, name) for name in ("d/a.wav", "b.wav")])

    anyio.run(claim)
    return calls


def test_a_doubt_has_what_a_person_looks_for_in_the_console(doubtful, inside):
    result = inside("status", doubtful)
    assert "    2025-04-24 14:34:19, operator Анна П., 12s, sent 2" in result.out
    assert "    2025-04-25 10:00:00, operator 8, 12s, sent 2" in result.out
    rows = json.loads(inside("status", doubtful, "--json").out)["attention"]
    assert {row["path"]: (row["date"], row["operator"], row["duration"]) for row in rows} == {
        "b.wav": ("2025-04-25 10:00:00", "8", 12.34),
        "d/a.wav": ("2025-04-24 14:34:19", "Анна П.", 12.34),
    }


def test_a_doubt_that_a_killed_run_left_is_new_to_the_run_that_finds_it(doubtful, upload, program):
    flags = "--progress", "none", "--connection-id", CONNECTION
    shown = words(upload(*flags))
    assert "2 recordings need attention" in shown
    assert "known" not in shown
    told = json.loads(program("status", doubtful, "--json").out)
    assert [kind["new"] for kind in told["connections"][0]["kinds"]] == [2]
    assert [row["new"] for row in told["attention"]] == [True, True]
    assert "2 known, none of them new" in words(upload(*flags))


@pytest.mark.parametrize("spoil", ["no sidecar", "no file", "no directory for it"])
def test_what_is_not_there_to_tell_hides_no_doubt(doubtful, inside, spoil):
    folder = doubtful.folder / "d"
    if spoil == "no sidecar":
        (folder / "a.json").write_bytes(b"?")
    elif spoil == "no file":
        (folder / "a.wav").unlink()
    else:
        shutil.rmtree(folder)
    result = inside("status", doubtful)
    assert result.code == 1
    assert "  d/a.wav\n" in result.out
    assert "    12s, sent 2" in result.out
    assert "operator 8" in result.out
