"""Names that change in case and composition from night to night: one talk a call, with its own."""

import hashlib
import unicodedata

import anyio
from hypothesis import given
from hypothesis import strategies as st
from support.engine_harness import Harness, of_call, wav

from batch_uploader.core.naming import fold

CALLS = ("call", "Звонок й", "é-1", "line 7", "İ-2", r"\xe9-3")
SPELLINGS = (str, str.upper, str.lower, str.title)


@st.composite
def spelled(draw, name):
    """The name as some system writes it."""
    form = draw(st.sampled_from(["NFC", "NFD"]))
    other = draw(st.sampled_from(SPELLINGS))(unicodedata.normalize(form, name))
    return other if fold(other) == fold(name) else name


@st.composite
def nights(draw):
    """For each night the names of each call's audio and sidecar."""
    there = draw(st.lists(st.sampled_from(range(len(CALLS))), min_size=1, unique=True))
    return [
        {
            number: (
                draw(spelled(CALLS[number])) + ".wav",
                draw(spelled(CALLS[number])) + draw(st.sampled_from([".json", ".wav.json"])),
            )
            for number in there
        }
        for _ in range(draw(st.integers(1, 3)))
    ]


@given(nights())
def test_each_call_goes_up_once_with_its_own_sidecar_fault_40(archive):
    anyio.run(follow, archive)


async def follow(archive):
    harness, there = Harness({}), {}
    for night in archive:
        files = {}
        for number, (audio, sidecar) in night.items():
            files |= {audio: wav(number + 1), sidecar: of_call(number)}
        for path in there.keys() - files.keys():
            harness.source.remove(path)
        for path in files.keys() - there.keys():
            harness.source.put(path, files[path])
        there = files
        summary = await harness.run()
        assert not summary.needs_attention
    calls = {hashlib.sha256(wav(number + 1)).digest(): str(number) for number in archive[0]}
    sent = [calls[talk.sha256] for talk in harness.sink.talks]
    assert sent == [talk.metadata.fields["n"] for talk in harness.sink.talks]
    assert sorted(sent) == sorted(calls.values())
