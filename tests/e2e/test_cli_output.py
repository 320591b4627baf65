"""Names that nobody would choose, on every screen and in every file, and a run without a screen."""

import csv
import json
import os
import re
import sys
import threading
import time

import pytest

NAMES = [
    "x[/y].wav",
    "[bold]loud[/].wav",
    "\x1b]0;owned\x07\x1b[2J.wav",
    "a\r\nb\x85c.wav",
    "\u202egnp.wav",
    "=1+1.wav",
    "+1.wav",
    "-1.wav",
    "@SUM(1).wav",
    "\t=1.wav",
]
"""Those that a screen obeys, or a spreadsheet."""

ACTS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")
"""What no line of text may hold: all that moves a cursor or changes a colour or a title."""


class Screen:
    """A terminal that a program may write to; ``text`` is what came."""

    def __enter__(self):
        self._leader, self._follower = os.openpty()
        self.name = os.ttyname(self._follower)
        self._parts = []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        return self

    def _read(self):
        # Linux says EIO when the other side is gone, others an end.
        try:
            while part := os.read(self._leader, 4096):
                self._parts.append(part)
        except OSError:
            pass

    def __exit__(self, *exc):
        os.close(self._follower)
        self._thread.join()
        os.close(self._leader)

    @property
    def text(self):
        return b"".join(self._parts).decode()


@pytest.mark.skipif(sys.platform == "win32", reason="names and terminals of POSIX")
def test_names_that_act_on_what_shows_them(calls, upload, program, service, tmp_path):
    """Faults 63, 64 and 65: up under their own name, and harmless wherever they are shown."""
    calls.write(*NAMES)
    for name in NAMES:
        calls.broken(f"empty/{name}")
    log = tmp_path / "log"
    with Screen() as screen:
        flags = ("-v", "--progress", "rich", "--log-file", log)
        drawn = upload(*flags, redirection=f"2>{screen.name}", env={"TERM": "xterm-256color"})
    assert drawn.code == 1, screen.text
    assert service.counts(calls) == dict.fromkeys(NAMES, 1)
    assert "x[/y].wav" in screen.text
    assert "\x1b]0;" not in screen.text
    assert "\x1b[2J" not in screen.text
    assert "\u202e" not in screen.text

    shown = [
        upload("-v"),
        upload("--progress", "json"),
        program("status", calls),
        program("status", calls, "--json"),
        program("check", calls, "-v"),
        program("manifest", calls),
    ]
    for text in (*(result.said for result in shown), log.read_text()):
        assert ACTS.findall(text) == []
        assert "[/y].wav" in text
    assert {
        json.loads(line)["path"] for line in shown[-1].out.splitlines()
    } == calls.manifest().keys()

    table = program("manifest", calls, "--format", "csv").out.replace("\r\n", "\n")
    rows = list(csv.reader(table.splitlines()))
    assert len(rows) == 1 + 2 * len(NAMES)
    assert [
        cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@", "\t"))
    ] == []
    assert ACTS.findall(table) == []


@pytest.mark.skipif(sys.platform == "win32", reason="names and terminals of POSIX")
def test_raw_cells_join_by_path(calls, program, upload, tmp_path):
    """Fault 65."""
    names = ["+74951234567.wav", "a;=1.wav", "b\t-2.wav"]
    calls.write(*names)
    assert upload().code == 0
    flags = ("manifest", calls, "--format", "csv", "--raw")
    file = tmp_path / "out.csv"
    assert program(*flags, "-o", file).code == 0
    assert file.read_bytes() == program(*flags).out.encode()
    with file.open(encoding="utf-8", newline="") as text:
        table = list(csv.DictReader(text))
    assert [row["path"] for row in table] == names
    assert {row["defused"] for row in table} == {""}
    with Screen() as screen:
        program(*flags, redirection=f">{screen.name}")
    assert "b\\u0009-2.wav" in screen.text


def test_without_a_terminal_there_are_plain_lines_and_not_many(calls, upload, start_service):
    """Fault 75: at most one a second, and nothing that only a screen understands."""
    calls.write(*(f"{number}.wav" for number in range(10)))
    with start_service("--latency", "400ms") as service:
        began = time.monotonic()
        result = upload("--concurrency", "1", to=service, env={"TERM": "xterm-256color"})
        took = time.monotonic() - began
        assert result.code == 0, result.said
        assert len(service.talks(calls)) == 10
    lines = [line for line in result.err.splitlines() if "of 10 files" in line]
    # The first and the last one come when they come.
    assert 2 <= len(lines) <= took + 2
    assert ACTS.findall(result.said) == []


@pytest.mark.skipif(sys.platform == "win32", reason="names and terminals of POSIX")
def test_on_a_terminal_no_word_is_broken_and_no_command_is_cut(calls, program, upload):
    """A terminal itself breaks a long line anywhere, and pastes it whole."""
    calls.write("a.wav")
    assert upload().code == 0
    calls.ledger.rename(calls.folder.with_name("away.db"))
    small = {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    told = program("status", calls)
    with Screen() as screen:
        program("status", calls, redirection=f"2>{screen.name}", env=small)
    shown = re.sub(r"\x1b\[[\d;]*m|\r", "", screen.text)
    assert shown.split() == told.err.split()
    rows = shown.splitlines()
    assert any(len(row) < 80 for row in rows)
    for row in rows:
        assert len(row) <= 80 or "batch-uploader upload" in row or " " not in row.strip(), row
    assert f"batch-uploader upload {calls} --rebuild" in rows
