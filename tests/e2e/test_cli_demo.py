"""``demo``: the whole way without an account."""

import json

import pytest


@pytest.mark.slow
def test_the_demo_uploads_its_samples_and_once_is_enough(program, tmp_path):
    result = program("demo", tmp_path / "demo", env={"API_KEY": "of somebody else"})
    assert result.code == 0, result.err
    lines = (tmp_path / "demo" / "calls" / "manifest.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 28
    assert [row["status"] for row in rows].count("uploaded") == 27
    assert {row["format"] for row in rows} == {"wav", "mp3", "ogg-opus"}
    # A service that is busy now and then, which is what there is to be seen.
    assert max(row["attempts"] for row in rows) > 1
    assert result.out.splitlines() == lines[:3]
    assert "hint: and then: batch-uploader upload DIRECTORY --connection-id ID" in result.err
    again = program("demo", tmp_path / "demo")
    assert again.code == 0
    assert "Nothing new" in again.err


def test_a_place_that_cannot_be_used_is_refused(inside, tmp_path):
    (tmp_path / "file").write_text("")
    result = inside("demo", tmp_path / "file")
    assert result.code == 2
    assert "cannot be used for the demo" in result.err
