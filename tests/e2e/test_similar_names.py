"""An archive that was copied between systems: names differ in case and in composition."""

import unicodedata

NAME = "Звонок Андрей 7"
COMPOSED, DECOMPOSED = (unicodedata.normalize(form, NAME) for form in ("NFC", "NFD"))


def rename(calls, name, other):
    (calls.folder / name).rename(calls.folder / other)
    calls.rest(other)


def test_each_goes_up_with_its_own_sidecar_and_a_second_run_sends_nothing(
    calls, upload, program, service
):
    """Fault 40."""
    calls.write(f"{COMPOSED}.wav", "CALL-0001.WAV", "call-0002.wav")
    rename(calls, f"{COMPOSED}.json", f"{DECOMPOSED}.json")
    rename(calls, "CALL-0001.json", "call-0001.json")
    foretold = program("check", calls)
    assert foretold.code == 0, foretold.said
    assert "3 recordings" in foretold.out

    assert upload().code == 0
    expected = {f"{COMPOSED}.wav": 1, "CALL-0001.WAV": 1, "call-0002.wav": 1}
    assert service.counts(calls) == expected
    assert calls.manifest().keys() == expected.keys()

    result = upload()
    assert result.code == 0, result.said
    assert "Nothing new" in result.err
    assert service.counts(calls) == expected


def test_what_is_ambiguous_is_named_and_goes_up_once_it_has_the_exact_name(calls, upload, service):
    """Fault 40."""
    calls.write("Call.wav", "CALL.wav")
    (calls.folder / "CALL.json").unlink()
    rename(calls, "Call.json", "call.json")
    result = upload("--sidecar", "optional")
    assert result.code == 1, result.said
    assert "call.json may belong to it or to" in result.err
    assert "differ only in case" in " ".join(result.err.split())
    assert service.counts(calls) == {}

    rename(calls, "call.json", "Call.wav.json")
    result = upload()
    assert service.counts(calls) == {"Call.wav": 1}
    assert "sidecar-missing" in result.err
