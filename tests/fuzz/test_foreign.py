"""Sidecars of other systems and tags of any content: nothing crashes or takes long."""

import io
import json

import pytest
from fuzz.hunt import SECONDS, hunt, within_limits
from fuzz.test_sidecars import CODECS, names, trees
from hypothesis import strategies as st
from support.audio_samples import mutants

from batch_uploader.core.model import Defect, Entry
from batch_uploader.prepare.about.foreign import DeclaredSidecar, Sidecar, SidecarReader, tags
from batch_uploader.prepare.about.values import Values, version

pytestmark = pytest.mark.timeout(60 + 2 * SECONDS)

DECLARED = st.sampled_from(
    [
        DeclaredSidecar("{stem}.json"),
        DeclaredSidecar("{stem}.xml"),
        DeclaredSidecar("{stem}.xml", encoding="cp1251"),
        DeclaredSidecar("{stem}.json", encoding="utf-16"),
        DeclaredSidecar("m.json", records="id", match="language"),
        DeclaredSidecar("m.json", records="fields"),
        DeclaredSidecar("m.xml", match="id"),
    ]
)
_PIECES = """<a> </a> <a/> <b x="1"> </b> <![CDATA[ ]]> <!-- --> & &amp; &#10; &#xD800; &lol;
<?xml version="1.0" encoding="koi8-r"?> <?xml version="1.0"?> <!DOCTYPE a [<!ENTITY lol "lol">]>
<v:a xmlns:v="u"> </v:a> %D0%9E <id> </id> { } [ ] " : , call.wav"""
_REPEATED = ["<a>", "<a/>", '<a x=">"/>', "&#65;", "x"]
pieces = st.lists(st.one_of(st.sampled_from(_PIECES.split()), names), max_size=20)


@st.composite
def sidecars(draw):
    """The bytes of a sidecar: JSON, XML or neither, often nearly sound, sometimes large."""
    text = draw(
        st.one_of(pieces.map("".join), trees.map(lambda tree: json.dumps(tree, ensure_ascii=False)))
    )
    text *= draw(st.sampled_from([1, 1, 1, 1, 9, 1 << 12]))
    if draw(st.integers(0, 9)) == 0:
        text = "<a>" + draw(st.sampled_from(_REPEATED)) * (1 << 16)
    data = bytearray(text.encode(draw(CODECS), "replace"))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


def test_any_sidecar_is_read_within_a_second():
    def check(example):
        data, declared = example
        reader = SidecarReader(lambda _entry, limit: data[:limit])
        sidecar = Sidecar(declared, Entry("d/call.x", len(data), 1))
        with within_limits():
            found = reader.values("d/call.wav", [sidecar])
        for each in found:
            if isinstance(each, Defect):
                assert each.message.isprintable()
                assert str(each).encode()
            else:
                assert isinstance(each, Values)
                assert all(isinstance(name, str) for name in each.fields)
                assert len(version([each])) == 16

    assert hunt(st.tuples(st.one_of(sidecars(), st.binary(max_size=999)), DECLARED), check) > 200


def test_any_tags_are_read_within_a_second():
    def check(data):
        with within_limits():
            found = tags.read(io.BytesIO(data), len(data))
        assert found is None or (found.fields and len(version([found])) == 16)

    assert hunt(st.one_of(mutants(), st.binary(max_size=999)), check) > 200
