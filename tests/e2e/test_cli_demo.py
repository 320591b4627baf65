"""``demo``: the whole way without an account."""

import json
import os
import sys
from shlex import quote

import pytest
from e2e.conftest import PROGRAM

from batch_uploader.cli.demo import program_as_started


@pytest.mark.slow
def test_the_demo_uploads_its_samples_and_once_is_enough(program, tmp_path):
    env = {"API_KEY": "of somebody else", "PATH": os.defpath}
    result = program("demo", tmp_path / "demo", env=env)
    assert result.code == 0, result.err
    lines = (tmp_path / "demo" / "calls" / "manifest.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 28
    assert [row["status"] for row in rows].count("uploaded") == 27
    assert {row["format"] for row in rows} == {"wav", "mp3", "ogg-opus"}
    # A service that is busy now and then, which is what there is to be seen.
    assert max(row["attempts"] for row in rows) > 1
    assert result.out.splitlines() == lines[:3]
    started = quote(str(PROGRAM))
    # No PATH leads to the program here, so it is named as it was started.
    assert f"hint: to upload them: {started} upload DIRECTORY --connection-id ID" in result.err
    once_more = f"hint: to see that nothing is sent twice: {started} demo {tmp_path}/demo\n"
    assert once_more in result.err
    again = program("demo", tmp_path / "demo", env={"PATH": f"{PROGRAM.parent}"})
    assert again.code == 0
    assert "Nothing new" in again.err
    assert f"nothing is sent twice: batch-uploader demo {tmp_path}/demo\n" in again.err


def test_a_module_is_named_with_its_python(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/opt/batch_uploader/__main__.py", "demo"])
    assert program_as_started() == f"{quote(sys.executable)} -m batch_uploader"


def test_a_place_that_cannot_be_used_is_refused(inside, tmp_path):
    (tmp_path / "file").write_text("")
    result = inside("demo", tmp_path / "file")
    assert result.code == 2
    assert "cannot be used for the demo" in result.err
