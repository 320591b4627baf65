"""Sidecars that other systems write: their names, their forms, and what is wrong with them."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_uploader.core.errors import ConfigError
from batch_uploader.core.model import Defect, Entry
from batch_uploader.prepare.about.foreign import (
    DeclaredSidecar,
    Sidecar,
    SidecarFormat,
    SidecarReader,
)


class Disk:
    """Sidecars by their paths, and which of them were read."""

    def __init__(self, **files):
        self.files = files
        self.read = []

    def __call__(self, entry, limit):
        self.read.append(entry.path)
        return self.files[entry.path][:limit]


def values_of(data, *, recording="call.wav", path="call.json", **declared):
    """What one sidecar says about a recording, or what is wrong with it."""
    declared.setdefault("name", "{stem}.json")
    text = data if isinstance(data, bytes) else json.dumps(data, ensure_ascii=False).encode()
    reader = SidecarReader(lambda _entry, limit: text[:limit])
    sidecar = Sidecar(DeclaredSidecar(**declared), Entry(path, len(text), 1))
    found = reader.values(recording, [sidecar])
    if isinstance(found, tuple):
        return found
    return found[0].fields if found else None


def defect_of(data, **declared):
    (defect,) = values_of(data, **declared)
    assert isinstance(defect, Defect)
    assert defect.message.isprintable()
    assert defect.cure
    return defect


def xml(text, **declared):
    data = text if isinstance(text, bytes) else text.encode()
    return values_of(data, name="{stem}.xml", **declared)


@pytest.mark.parametrize(
    ("name", "file", "recording"),
    [
        ("{stem}.xml", "call.xml", "call.wav"),
        ("{stem}.xml", "CALL.XML", "CALL.wav"),
        ("{stem}.cdr.json", "a.b.cdr.json", "a.b.opus"),
        ("{name}_metadata.json", "id.opus_metadata.json", "id.opus"),
        ("{name}.xml", "call.wav.xml", "call.wav"),
        ("a_{stem}.cdr.xml", "a_0f1e.cdr.xml", "0f1e.mp3"),
        ("metadata.json", "metadata.json", "anything.mp3"),
        ("metadata.json", "Metadata.JSON", "anything.mp3"),
    ],
)
def test_a_declared_name_says_what_a_file_describes(name, file, recording):
    declared = DeclaredSidecar(name)
    assert declared.described(file) == declared.key(recording)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("{stem}.xml", "call.json"),
        ("{stem}.xml", ".xml"),
        ("a_{stem}.cdr.xml", "b_0f1e.cdr.xml"),
        ("a_{stem}.cdr.xml", "A_0f1e.cdr.xml"),
        ("a_{stem}_b.xml", "a_b.xml"),
        ("metadata.json", "my-metadata.json"),
        ("metadata.json", "metadata.json.bak"),
    ],
)
def test_other_files_are_no_such_sidecars(name, file):
    assert DeclaredSidecar(name).described(file) is None


@given(st.sampled_from(["{stem}.xml", "{name}_m.json", "a_{stem}.cdr.xml"]), st.text(min_size=1))
def test_a_sidecar_named_as_declared_describes_its_recording(name, base):
    recording = f"{base.replace('/', '-')}.wav"
    stem = recording.removesuffix(".wav")
    file = name.replace("{stem}", stem).replace("{name}", recording)
    declared = DeclaredSidecar(name)
    assert declared.described(file) == declared.key(recording)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "{stem}"},
        {"name": "{stem}{name}.xml"},
        {"name": "{uuid}.xml"},
        {"name": "../{stem}.xml"},
        {"name": "cdr/{stem}.xml"},
        {"name": "{stem}.txt"},
        {"name": "{stem}.xml", "encoding": "cp1251x"},
        {"name": "{stem}.xml", "encoding": "zlib"},
        {"name": "{stem}.xml", "records": 7},
    ],
)
def test_a_wrong_declaration_is_an_error_with_a_hint(wrong):
    with pytest.raises(ConfigError) as error:
        DeclaredSidecar(**wrong)
    assert error.value.hints


def test_values_stay_nested_and_have_their_own_types():
    tree = {
        "freq": 769000000,
        "len": 3.78,
        "emergency": False,
        "tag": None,
        "srcList": [{"src": 39000, "tag": ""}],
        "имя": "Ольга",
    }
    assert values_of(tree) == tree


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("79001234567", 79001234567),
        ("-0", 0),
        ("1e3", 1000.0),
        ("3.780", 3.78),
        ("1774592717.512", 1774592717.512),
        ("0.1234567890123456789", "0.1234567890123456789"),
        ("1e400", "1e400"),
        ("9" * 400, "9" * 400),
        ("NaN", None),
        ("-Infinity", None),
    ],
)
def test_a_number_is_exact_or_the_text_that_was_written(written, value):
    found = values_of(f'{{"n": {written}}}'.encode())["n"]
    assert (found, type(found)) == (value, type(value))


def test_a_key_that_occurs_twice_is_named_with_its_path():
    defect = defect_of(b'{"a": [{"b": 1}, {"b": 1, "b": 2}]}')
    assert defect.kind == "sidecar-duplicate-key"
    assert "a[1].b" in defect.message


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "sidecar-empty"),
        (b" \n", "sidecar-empty"),
        (b'{"a": ', "sidecar-json"),
        (b'"text"', "sidecar-shape"),
        (b"[1, 2]", "sidecar-records"),
        ("{'имя'}".encode("cp1251"), "sidecar-encoding"),
        ('{"a": 1}'.encode("utf-16"), "sidecar-encoding"),
        (b"[" * 100 + b"]" * 100, "sidecar-nesting"),
        (b'{"a": "' + b"x" * (1 << 20) + b'"}', "sidecar-too-large"),
    ],
)
def test_json_that_cannot_be_used_is_named(data, kind):
    assert defect_of(data).kind == kind


def test_an_encoding_may_be_declared():
    data = '{"имя": "Ольга Петрова"}'.encode("cp1251")
    defect = defect_of(data)
    assert "Windows-1251" in defect.message
    assert 'encoding = "..."' in defect.cure
    assert values_of(data, encoding="windows-1251") == {"имя": "Ольга Петрова"}
    assert values_of('{"a": "ж"}'.encode("utf-16"), encoding="utf-16") == {"a": "ж"}
    assert defect_of(b'{"a": "\xff"}', encoding="ascii").kind == "sidecar-encoding"


def test_xml_is_read_as_json_has_it():
    text = """<?xml version="1.0" encoding="UTF-8"?>
    <v:call xmlns:v="urn:example" v:id="7">
      <start>2026-03-27 09:25:17</start>
      <party role="caller"> 79001234567 </party>
      <party role="agent"><ext>204</ext></party>
      <note>said &lt;b&gt; &amp; <![CDATA[more <b>]]></note>
      <id>8</id>
      <empty/>
    </v:call>"""
    assert xml(text) == {
        "id": ["7", "8"],
        "start": "2026-03-27 09:25:17",
        "party": [
            {"role": "caller", "text": "79001234567"},
            {"role": "agent", "ext": "204"},
        ],
        "note": "said <b> & more <b>",
        "empty": "",
    }


def test_a_repeated_element_that_is_a_list_of_lists_keeps_its_order():
    text = "<c><n>1</n><n><n>2</n><n>3</n></n><n>4</n></c>"
    assert xml(text) == {"n": ["1", {"n": ["2", "3"]}, "4"]}


def test_xml_says_its_encoding_itself():
    text = '<?xml version="1.0" encoding="windows-1251"?><c><имя>Ольга Петрова</имя></c>'
    assert xml(text.encode("cp1251")) == {"имя": "Ольга Петрова"}
    wide = text.replace("windows-1251", "utf-16")
    assert xml(wide.encode("utf-16")) == {"имя": "Ольга Петрова"}
    koi = "<c><имя>Ольга Петрова</имя></c>".encode("koi8_r")
    assert xml(koi)[0].kind == "sidecar-encoding"
    assert "KOI8-R" in xml(koi)[0].message
    assert xml(koi, encoding="koi8-r") == {"имя": "Ольга Петрова"}
    assert xml(text.encode("koi8_r"), encoding="koi8-r") == {"имя": "Ольга Петрова"}


BOMB = """<!DOCTYPE c [<!ENTITY a "aaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><c>&b;</c>"""


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("<c>", "sidecar-xml"),
        ("<c></d>", "sidecar-xml"),
        ("<c/><c/>", "sidecar-xml"),
        ("no xml", "sidecar-xml"),
        (BOMB, "sidecar-xml"),
        ('<!DOCTYPE c [<!ENTITY a SYSTEM "file:///etc/passwd">]><c>&a;</c>', "sidecar-xml"),
        ('<!DOCTYPE c [<!ENTITY % a SYSTEM "x.dtd"> %a;]><c/>', "sidecar-xml"),
        ('<?xml version="1.0" encoding="zlib"?><c/>', "sidecar-encoding"),
        ('<?xml version="1.0" encoding="shift_jis"?><c/>', "sidecar-encoding"),
        ("<c>text</c>", "sidecar-shape"),
        ("<a>" * 100 + "</a>" * 100, "sidecar-nesting"),
        ("<c>" + "<a/>" * 250_000 + "</c>", "sidecar-too-large"),
    ],
)
def test_xml_that_cannot_be_used_is_named(text, kind):
    """Fault 120"""
    began = time.process_time()
    (defect,) = xml(text)
    assert defect.kind == kind
    assert defect.message.isprintable()
    assert time.process_time() - began < 1


def test_an_external_entity_is_never_opened(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("Ольга")
    text = f'<!DOCTYPE c SYSTEM "{secret.as_uri()}"><c><a>1</a></c>'
    assert xml(text) == {"a": "1"}


def test_the_variables_of_freeswitch_are_decoded():
    text = """<cdr core-uuid="0f1e"><channel_data><direction>inbound</direction></channel_data>
    <variables><caller_id_name>%D0%9E%D0%BB%D1%8C%D0%B3%D0%B0%20%2B7</caller_id_name>
    <percent>100%25</percent></variables>
    <callflow dialplan="XML"><caller_profile><ani>100%25</ani></caller_profile></callflow></cdr>"""
    found = xml(text, path="a_0f1e.cdr.xml", recording="0f1e.wav")
    assert found["variables"] == {"caller_id_name": "Ольга +7", "percent": "100%"}
    assert found["callflow"]["caller_profile"]["ani"] == "100%25"  # only variables are encoded
    tree = {"variables": {"a": "%2B7", "n": 7}, "callflow": [], "x": "%2B7"}
    assert values_of(tree) == {"variables": {"a": "+7", "n": 7}, "callflow": [], "x": "%2B7"}
    assert values_of({"variables": {"a": "%2B7"}}) == {"variables": {"a": "%2B7"}}


def test_several_sidecars_of_a_recording_all_say_something():
    disk = Disk(**{"a.wav_metadata.json": b'{"a": 1}', "a.xml": b"<c><b>2</b></c>"})
    sidecars = [
        Sidecar(DeclaredSidecar("{name}_metadata.json"), Entry("a.wav_metadata.json", 8, 1)),
        Sidecar(DeclaredSidecar("{stem}.xml", SidecarFormat.XML), Entry("a.xml", 8, 1)),
    ]
    found = SidecarReader(disk).values("a.wav", sidecars)
    assert [(each.source, each.fields, each.origin) for each in found] == [
        ("sidecar", {"a": 1}, "a.wav_metadata.json"),
        ("sidecar", {"b": "2"}, "a.xml"),
    ]
    disk.files["a.xml"] = b"<c>"
    disk.files["a.wav_metadata.json"] = b"{"
    wrong = SidecarReader(disk).values("a.wav", sidecars)
    assert [(each.path, each.kind) for each in wrong] == [
        ("a.wav_metadata.json", "sidecar-json"),
        ("a.xml", "sidecar-xml"),
    ]


trees = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=20),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=9), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=9), trees, max_size=6))
def test_any_json_object_comes_back_equal(tree):
    freeswitch = {"variables", "callflow"} <= tree.keys()
    data = json.dumps(tree).encode()
    if not freeswitch:
        assert values_of(data) == json.loads(data, parse_float=_as_read)


def _as_read(text):
    return float(text) if len(text) <= 40 else text
