"""Every key that a program may read is one of the words of docs/events.md, on every surface."""

import csv
import json
import re
from pathlib import Path

from support import audio_makers as make
from support.event_samples import SAMPLES

from batch_uploader.ui.fields import event_fields, progress_fields
from batch_uploader.ui.tally import Tally

PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text(encoding="utf-8")
WORDS = set(
    re.findall(r"^\| `(\w+)` \| [^|]+ \|$", PAGE[PAGE.index("## The words") :], re.MULTILINE)
)
BY_CODE = {"counts", "totals", "left_out_by", "waiting_for"}
"""What has a status, or the code of an error, for a key."""


def keys(value):
    """All of them, however deep."""
    if isinstance(value, list):
        return set().union(*map(keys, value))
    if not isinstance(value, dict):
        return set()
    below = [
        keys(list(each.values())) if name in BY_CODE else keys(each) for name, each in value.items()
    ]
    return set(value).union(*below)


def test_all_surfaces_share_one_vocabulary(calls, upload, program, start_service, tmp_path):
    calls.write("a.wav", "b.wav")
    calls.put("c.wav", b"")
    calls.write("converted.wav").put("converted.wav", make.encoded("WAV", "GSM610"))
    log, finished = tmp_path / "attempts.log", tmp_path / "finished.json"
    hook = ("--on-finish", f"sh -c 'cat > {finished}'")
    with start_service("--lose-answer", "1", "--lost-answer", "proxy") as service:
        result = upload("--progress", "json", "-v", "--log-file", log, *hook, to=service)
    assert result.code == 1
    calls.write("d.wav").write("long.wav", seconds=2)
    calls.put("e.json", b"{}")
    at_once = ("--sidecar-wait", "0", "--min-age-open", "0", "--max-length", "1s")
    surfaces = {
        "events": [json.loads(line) for line in result.out.splitlines()],
        "log": [json.loads(line) for line in log.read_text("ascii").splitlines()],
        "on finish": json.loads(finished.read_text("ascii")),
        "check": json.loads(program("check", calls, "--json", *at_once).out),
        "status": json.loads(program("status", calls, "--json").out),
        "runs": json.loads(program("runs", calls, "--json").out),
        "doctor": json.loads(program("doctor", *service.flags, "--json").out),
        "manifest": [
            json.loads(line) for line in program("manifest", calls).out.splitlines() if line
        ],
    }
    assert {"attempt_ended", "settled"} <= {line["event"] for line in surfaces["log"]}
    assert surfaces["check"]["carried_over"]
    assert surfaces["check"]["defects"]
    assert surfaces["status"]["attention"]
    told = {name: keys(surface) for name, surface in surfaces.items()}
    assert {name: found - WORDS for name, found in told.items() if found - WORDS} == {}
    # And no word is there for nothing.
    rare = [*map(event_fields, SAMPLES), progress_fields(Tally()), {"lines": 1}]
    assert WORDS - keys(rare).union(*told.values()) == set()


def test_the_log_has_the_events_as_they_are_told(calls, upload, tmp_path):
    calls.write("a.wav")
    log = tmp_path / "attempts.log"
    result = upload("--progress", "json", "--log-file", log)
    assert result.code == 0
    told = [json.loads(line) for line in result.out.splitlines()]
    logged = [json.loads(line) for line in log.read_text("ascii").splitlines()]
    assert [line["event"] for line in logged] == ["run_started", "attempt_ended", "run_finished"]
    for line in logged:
        (same,) = [each for each in told if each["event"] == line["event"]]
        assert {**line, "time": None} == {**same, "time": None}


def test_columns_of_a_spreadsheet_are_words_too(calls, upload, program):
    calls.write("a.wav")
    assert upload().code == 0
    header = next(csv.reader(program("manifest", calls, "--format", "csv").out.splitlines()))
    assert set(header) - WORDS == {"error_code", "error_message", "defused"}
