"""Other settings that would send or change much at once say so first, in check and in upload."""

import pytest

COUNT = 25


@pytest.fixture
def archive(calls, upload, program):
    """25 recordings that are uploaded, and how many more there are under another name."""
    for number in range(COUNT):
        calls.write(f"{number}.wav", client=f"{number}", note="x")
        calls.write(f"more/{number}.wav", client=f"m{number}")
    assert upload("--exclude", "more", "--call-id", "client").code == 0
    return calls


def told(result):
    lines = [line for line in result.err.splitlines() if "settings are not those" in line]
    assert len(lines) <= 1
    return "".join(lines)


def test_a_larger_selection_is_said_before_it_is_sent(archive, upload, program):
    """Fault 119."""
    foretold = told(program("check", archive, "--call-id", "client"))
    assert f"{COUNT} recordings are to be sent, {COUNT} are on record" in foretold
    result = upload("--call-id", "client")
    assert told(result) == foretold.replace("warning: ", "")
    assert not told(upload("--call-id", "client"))


def test_other_metadata_are_said_by_a_sample(archive, upload, program):
    (program.directory / "batch-uploader.toml").write_text('[metadata.map]\nnote = "client"\n')
    flags = ("--exclude", "more", "--call-id", "client")
    said = f"{COUNT} of {COUNT} talks on record that were compared would have other metadata"
    assert said in told(program("check", archive, *flags))
    assert said in told(upload(*flags))


def test_settings_that_change_little_are_not_worth_a_word(archive, upload, program):
    (program.directory / "batch-uploader.toml").write_text('[metadata.map]\nnote = "note"\n')
    flags = ("--exclude", "more", "--call-id", "client", "--exclude", "*.mp3")
    assert not told(program("check", archive, *flags))
    assert not told(upload(*flags))


def test_new_recordings_under_the_same_settings_are_no_surprise(archive, upload):
    for number in range(COUNT):
        archive.write(f"new/{number}.wav", client=f"n{number}")
    assert not told(upload("--exclude", "more", "--call-id", "client"))


def test_another_call_id_is_said(archive, upload, program):
    flags = ("--exclude", "more", "--call-id", "note")
    said = (
        "the call ID was client and is note, so what is on record is compared with new recordings"
    )
    assert said in told(program("check", archive, *flags))
    assert said in told(upload(*flags))
    assert not told(upload(*flags))
