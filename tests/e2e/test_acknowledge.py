"""What stays wrong and is known: acknowledged once, it alarms nobody each night."""

import json

import pytest

EMPTY = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\0\0\0\0"
"""44 bytes: what a recorder leaves of a call that nobody answered."""


@pytest.fixture
def archive(calls):
    """Two sound recordings, two empty ones, and one whose sidecar is broken."""
    calls.write("a.wav", "b.wav", "night/1.wav", "night/2.wav", "broken.wav")
    calls.put("night/1.wav", EMPTY)
    calls.put("night/2.wav", EMPTY)
    calls.put("broken.json", b'{"x": null}')
    return calls


def errors(inside, archive):
    """The codes of what needs a human, by path."""
    told = json.loads(inside("status", archive, "--json").out)
    return {each["path"]: each["error"]["code"] for each in told["attention"]}


def test_what_is_acknowledged_alarms_nobody_until_it_changes(archive, upload, inside, service):
    assert upload().code == 1
    kinds = errors(inside, archive)
    assert set(kinds) == {"night/1.wav", "night/2.wav", "broken.wav"}
    code = kinds["night/1.wav"]
    result = inside("resolve", archive, "--acknowledge", "--kind", code)
    assert (result.code, result.err) == (0, "2 recordings acknowledged\n")
    assert set(errors(inside, archive)) == {"broken.wav"}
    assert upload().code == 1, "the other one"
    assert inside("resolve", archive, "broken.wav", "--acknowledge").code == 0
    for _ in range(2):
        result = upload()
        assert result.code == 0, result.err
        assert "acknowledged 3" in result.err
    checked = inside("check", archive)
    assert checked.code == 0
    assert "\n3 acknowledged\n" in checked.said
    assert "hint:" not in checked.said, "nothing is left to decide"
    manifest = archive.manifest()
    assert {line["status"] for line in manifest.values()} == {"uploaded", "acknowledged"}
    assert manifest["night/1.wav"]["error"]["code"] == code, "the error stays listed"
    for name in ("night/1.wav", "broken.wav"):
        (archive.folder / name).chmod(0o640)
    assert upload().code == 0, "files that were only touched"
    archive.put("broken.json", b'{"y": null}')
    assert upload().code == 1, "another defect"
    archive.write("broken.wav")
    assert upload().code == 0
    assert service.counts(archive) == {"a.wav": 1, "b.wav": 1, "broken.wav": 1}


def test_other_settings_end_it_unless_the_same_is_wrong_by_them(archive, upload, inside):
    assert upload().code == 1
    assert inside("resolve", archive, "night", "broken.wav", "--acknowledge").code == 0
    assert upload().code == 0
    result = upload("--default", "language=ru-RU")
    assert result.code == 0, "the same defects by other rules"
    assert "acknowledged 3" in result.err
    assert upload("--require", "ticket").code == 1, "the defects are others"


def test_it_is_only_for_what_is_not_stored_and_wrong(archive, upload, inside):
    assert upload().code == 1
    result = inside("resolve", archive, "a.wav", "--acknowledge")
    assert result.code == 2
    assert "a.wav is uploaded" in result.err
    result = inside("resolve", archive, "--acknowledge", "--kind", "nonsense")
    assert (result.code, "has the error nonsense" in result.err) == (2, True)
    result = inside("resolve", archive, "--resend", "--kind", "empty")
    assert (result.code, "contradict" in result.err) == (2, True)


def test_what_the_service_rejected_is_acknowledged_and_can_be_sent_again(calls, upload, inside):
    calls.write("a.wav", "b.wav")
    strict = ("--connection-id", "strict")
    assert upload(*strict).code == 1
    assert inside("resolve", calls, "a.wav", "b.wav", "--acknowledge").code == 0
    for _ in range(2):
        result = upload(*strict, "--progress", "json")
        assert result.code == 0
        assert "upload_started" not in result.out
    (calls.folder / "a.wav").chmod(0o640)
    assert upload(*strict).code == 0
    assert inside("resolve", calls, "a.wav", "--resend").code == 0
    assert upload(*strict).code == 1
    statuses = {path: line["status"] for path, line in calls.manifest().items()}
    assert statuses == {"a.wav": "rejected", "b.wav": "acknowledged"}


@pytest.mark.parametrize("fast", [(), ("--fast",)])
def test_check_foretells_that_it_is_no_news_with_filters_too(calls, upload, inside, fast):
    """With a filter it is looked at again by each run."""
    calls.broken("bad.wav", b"no audio")
    assert upload("--skip-empty").code == 1
    assert inside("resolve", calls, "bad.wav", "--acknowledge").code == 0
    told = inside("check", calls, "--skip-empty", *fast)
    assert (told.code, told.out.splitlines()[0]) == (0, "0 of 1 go up, 1 is decided about")
    assert upload("--skip-empty").code == 0
    calls.put("bad.wav", b"no audio at all")
    assert inside("check", calls, "--skip-empty", *fast).code == 1
