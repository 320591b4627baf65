"""A recording and the copy that was made of it, beside one sidecar."""

import re

from e2e.conftest import assert_one_talk_each
from support import audio_makers as make


def test_the_cure_that_leaves_the_copy_out_sends_the_call_once(calls, upload, program, service):
    """Fault 61: and nothing needs attention from then on."""
    calls.write("2025/call.wav", "2025/other.wav")
    calls.put("2025/call.mp3", make.mp3())
    refused = upload()
    assert refused.code == 1
    assert service.counts(calls) == {"2025/other.wav": 1}
    (cure,) = set(re.findall("--exclude '(.*?)'", " ".join(refused.err.split())))
    assert cure == "*.mp3"
    cured = upload("--exclude", cure)
    assert cured.code == 0, cured.err
    assert_one_talk_each(calls, service, {"2025/call.wav", "2025/other.wav"})
    again = upload("--exclude", cure)
    assert again.code == 0
    assert "Nothing new" in again.err
    assert program("status", calls).code == 0
    assert upload().code == 1, "without the pattern it is a defect again"
