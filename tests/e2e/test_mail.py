"""The mail of a bad night: what cron sends of an upload without a display."""

import json
import os

import pytest

SCREEN = 25


@pytest.fixture
def mail(upload):
    """What a night says, and its exit code."""

    def run(*flags, **how):
        result = upload("--progress", "none", *flags, **how)
        assert result.out == ""
        lines = result.err.splitlines()
        assert len(lines) <= SCREEN, result.err
        return lines, result.code

    return run


def test_a_good_night_sends_none(calls, mail):
    calls.write("a.wav")
    assert mail() == ([], 0)


def test_it_names_the_file_the_defect_and_the_cure(calls, mail):
    calls.write("a.wav")
    calls.broken("b.wav", b"no audio")
    lines, code = mail()
    assert code == 1
    assert lines[0] == "error: 1 recording needs attention"
    assert lines[1].split() == ["invalid", "b.wav"]
    assert "unknown: " in lines[2]
    assert lines[-1] == f"hint: batch-uploader status {calls} --connection-id calls"


def test_what_is_new_comes_before_what_was_there_before(calls, mail):
    for number in range(2):
        calls.broken(f"a{number}.wav", b"no audio")
    assert mail()[1] == 1
    calls.broken("z.wav", b"no audio")
    lines, _ = mail()
    assert lines[0] == "error: 3 recordings need attention: 2 known, 1 new"
    rows = [line.split()[1:] for line in lines if line.startswith("invalid")]
    assert rows == [["z.wav"], ["a0.wav,", "known"], ["a1.wav,", "known"]]
    lines, _ = mail()
    assert lines[0] == "error: 3 recordings need attention: 3 known, none of them new"


def test_a_new_one_is_not_lost_among_hundreds_that_stay(calls, mail):
    for number in range(150):
        calls.broken(f"a/{number:03}.wav", b"no audio")
    lines, _ = mail()
    assert lines[0] == "error: 150 recordings need attention"
    assert ".wav and 149 like it" in lines[1]
    calls.broken("z.wav", b"no audio")
    lines, _ = mail()
    assert lines[0] == "error: 151 recordings need attention: 150 known, 1 new"
    assert "z.wav and 150 like it, 150 known" in lines[1]


def test_of_many_kinds_and_files_that_cannot_be_read_it_is_a_screen_all_the_same(calls, mail):
    """Faults 37, 38."""
    calls.write("a.wav")
    for number in range(40):
        os.mkfifo(calls.folder / f"{number:02}.mp3")
    for number in range(30):
        calls.broken(f"{number:02}-bad.wav", b"no audio" if number % 2 else b"")
        (calls.folder / f"{number:02}-alone.json").write_text("{}")
        calls.put(f"{number:02}-alone.json", b"{}")
    for number in range(12):
        calls.write(f"field{number}.wav")
        calls.put(f"field{number}.json", json.dumps({f"x{number}": None}).encode())
    lines, code = mail("--sidecar-wait", "0")
    assert code == 1
    text = "\n".join(lines)
    assert "error: 37 more like these" in text
    assert "orphan-sidecar" in text
    assert "recordings need attention" in text
    assert lines[-1].startswith("hint: ")


def test_a_run_that_a_limit_ended_says_so(calls, mail):
    calls.write("a.wav", "b.wav", "c.wav")
    lines, code = mail("--max-recordings", "1")
    assert code == 6
    assert lines == ["warning: --max-recordings is reached (1); 2 recordings left for the next run"]


def test_a_wrong_key_is_named_with_where_it_is_from(calls, mail):
    calls.write("a.wav")
    calls.key_file.write_text("unknown")
    lines, code = mail()
    assert code == 3
    assert "does not accept the" in lines[0]
    assert any("the credential is from --api-key-file" in line for line in lines)


def test_the_end_of_a_log_says_the_same(calls, upload):
    """Where progress is shown, as in a log of systemd, its end is what the mail has."""
    for number in range(2):
        calls.broken(f"a{number}.wav", b"no audio")
    assert upload().code == 1
    calls.broken("z.wav", b"no audio")
    result = upload()
    assert "3 recordings need attention: 2 known, 1 new" in result.err
    assert result.err.index("z.wav") < result.err.index("a0.wav, known")
