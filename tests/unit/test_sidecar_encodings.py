"""Sidecars in other encodings, and values that were broken on their way into one."""

# ruff: noqa: RUF001 - they are meant

import json
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cures import command_of, shell
from support.sidecar_harness import ANYTHING, cure_of, defects_of, fields_of

from batch_uploader.core.errors import ConfigError
from batch_uploader.core.model import Metadata
from batch_uploader.prepare.sidecar import Kind, Schema, encoding, mojibake, parse

CYRILLIC = {
    "cp1251": "CP1251",
    "koi8_r": "KOI8-R",
    "cp866": "CP866",
    "iso8859_5": "ISO-8859-5",
}
NAMES = {
    "CP1251": "Windows-1251",
    "KOI8-R": "KOI8-R",
    "CP866": "CP866 (DOS)",
    "ISO-8859-5": "ISO 8859-5",
}
_FIRST = """
    Иван Мария Ольга Анна Пётр Юлия Эдуард Фёдор Игорь Жанна Хафиз Шамиль Айгуль Зульфия Людмила
    Любовь Нина Яков Алексей Наталья Екатерина Сергей
"""
_LAST = """
    Петров Сидорова Ли Ким Цой Щедрин Юшкевич Жуковский Шевченко Эйхгольц Ягода Фофанов Хохлов
    Иванова Абдуллаев Кузнецова Смирнов Попова Васильев Цыбуля Съедин Дьяченко
"""
FIRST, LAST = _FIRST.split(), _LAST.split()
names = st.builds(
    lambda one, other: f"{one} {other}", st.sampled_from(FIRST), st.sampled_from(LAST)
)
two_names = st.lists(names, min_size=2, max_size=2, unique=True)


def sidecar(*values, **how):
    fields = {f"name{number}": value for number, value in enumerate(values)}
    return json.dumps({"operator_id": "17", **fields}, ensure_ascii=False, **how)


@given(two_names, st.sampled_from(sorted(CYRILLIC)))
def test_two_names_tell_the_encoding_fault_56(values, codec):
    data = sidecar(*values).encode(codec)
    (defect,) = parse(data, "call.json", ANYTHING)
    name = CYRILLIC[codec]
    assert defect.message == f"it is {NAMES[name]}, not UTF-8"
    assert f"`iconv -f {name} -t UTF-8 < call.json" in defect.cure


@pytest.mark.parametrize("codec", CYRILLIC)
@pytest.mark.parametrize("case", [str, str.lower])
def test_little_text_is_named_rightly_or_called_unclear(case, codec):
    seen = {"clear": 0, "unclear": 0}
    for text in [*FIRST, *LAST, *(f"{one} {other}" for one in FIRST for other in LAST)]:
        data = sidecar(case(text)).encode(codec)
        if data.decode(errors="ignore").encode() == data:
            continue  # three bytes of three letters can be one letter of UTF-8
        (defect,) = parse(data, "call.json", ANYTHING)
        name = CYRILLIC[codec]
        unclear = "which encoding it is in is unclear" in defect.cure and name in defect.cure
        assert unclear or f"iconv -f {name} " in defect.cure, (text, defect.cure)
        seen["unclear" if unclear else "clear"] += 1
    assert seen["clear"] > 2 * seen["unclear"], seen


def test_a_line_end_before_a_word_is_no_letter_of_it():
    data = sidecar("Иван\nПетров", "Мария Сидорова").encode("koi8_r")
    assert "iconv -f KOI8-R " in cure_of(data)


def test_the_command_for_an_unclear_one_only_shows_it(tmp_path):
    data = sidecar("Цой").encode("cp1251")
    (tmp_path / "call.json").write_bytes(data)
    (defect,) = parse(data, "call.json", ANYTHING)
    assert "unclear" in defect.cure
    shown = subprocess.run(
        ["bash", "-c", command_of(defect)], cwd=tmp_path, capture_output=True, check=True
    )
    assert "Цой" in shown.stdout.decode()
    assert [each.name for each in tmp_path.iterdir()] == ["call.json"]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    ("codec", "mark", "name"),
    [
        *((codec, b"", name) for codec, name in CYRILLIC.items()),
        ("utf-16-le", b"\xff\xfe", "UTF-16"),
        ("utf-16-be", b"\xfe\xff", "UTF-16"),
        ("utf-16-le", b"", "UTF-16LE"),
        ("utf-16-be", b"", "UTF-16BE"),
        ("utf-32-le", b"\xff\xfe\0\0", "UTF-32"),
        ("utf-32-le", b"", "UTF-32LE"),
        ("utf-32-be", b"", "UTF-32BE"),
    ],
)
def test_the_command_makes_the_sidecar_that_was_meant(codec, mark, name, indent, tmp_path):
    text = sidecar("Иван Петров", "Мария Сидорова", indent=indent)
    data = mark + text.encode(codec)
    (tmp_path / "call.json").write_bytes(data)
    (defect,) = parse(data, "call.json", ANYTHING)
    assert f"iconv -f {name} " in defect.cure
    shell(command_of(defect), tmp_path, check=True)
    assert {each.name for each in tmp_path.iterdir()} == {"call.json", "call.json.orig"}
    assert fields_of((tmp_path / "call.json").read_bytes()) == json.loads(text)
    assert (tmp_path / "call.json.orig").read_bytes() == data


def test_ascii_in_utf_16_is_not_taken_for_text_with_zeros():
    assert "UTF-16LE" in cure_of('{"a": "b"}'.encode("utf-16-le"))
    assert defects_of(b'{"a": "\0"}') == [("sidecar-json", None)]


def test_utf_8_that_is_cut_or_damaged_is_no_other_encoding():
    data = sidecar("Иван Петров", "Мария Сидорова").encode()
    for broken in (data[: data.index("П".encode()) + 1], data.replace(b"17", b"\xd0\xd0")):
        assert defects_of(broken) == [("sidecar-encoding", None)]
        assert "UTF-8 that is damaged, or cut off" in cure_of(broken)
        assert "iconv" not in cure_of(broken)


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        ("mac_cyrillic", "Иван Петров, Мария Сидорова"),
        ("mac_cyrillic", "Наталья Кузнецова"),
        ("ptcp154", "Нұрлан Әбішұлы"),
        ("cp1253", "Γιώργος Παπαδόπουλος, Μαρία Ιωάννου"),
        ("cp1252", "François Müller, Élodie Dupré, José García Ñúñez"),
        ("cp1250", "Žluťoučký kůň, Łukasz Żółkiewski, Dvořák"),
        ("cp1254", "Çağrı Şükrü Öztürk"),
        ("cp1256", "محمد علي, السلام عليكم"),
        ("shift_jis", "田中太郎, こんにちは世界"),
        ("shift_jis", "Шевченко Ягода, Эдуард Шевченко, Щедрин Анна Жуковский"),
        ("shift_jis", "Игорь Яков, Хохлов Игорь"),
        ("gbk", "王小明, 你好世界, 张伟李娜"),
        ("euc_kr", "김철수, 안녕하세요"),
        ("tis_620", "สวัสดีครับ"),
    ],
)
def test_an_encoding_of_other_letters_is_unclear(codec, text):
    data = sidecar(text).encode(codec)
    assert "unclear" in cure_of(data)
    assert encoding.of(data) is None


@pytest.mark.parametrize("data", [b"\xff\xd8\xff\xe0JFIF", b"M\xfcller", bytes(range(128, 256))])
def test_what_is_no_russian_is_not_called_so(data):
    assert "if it is" not in cure_of(b'{"a": "' + data + b'"}')


READ_AS = {**{codec: NAMES[name] for codec, name in CYRILLIC.items()}, "cp1252": "Latin-1"}


@pytest.mark.parametrize("lost", ["replace", "ignore"])
@pytest.mark.parametrize("wrong", READ_AS)
@given(value=names)
def test_utf_8_that_was_read_as_something_else(wrong, lost, value):
    text = value.encode().decode(wrong, lost)
    problem = f"it is UTF-8 that was read as {READ_AS[wrong]}"
    (defect,) = parse(sidecar(text).encode(), "call.json", ANYTHING)
    assert (defect.kind, defect.field, defect.message) == ("sidecar-broken-text", "name0", problem)
    assert text not in repr(defect)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("cp1251", "cp1252"),
        ("koi8_r", "cp1252"),
        ("cp866", "cp1252"),
        ("koi8_r", "cp1251"),
        ("cp1251", "koi8_r"),
        ("cp1251", "cp866"),
        ("cp866", "cp1251"),
        ("koi8_r", "cp866"),
        ("cp866", "koi8_r"),
    ],
)
def test_one_encoding_that_was_read_as_another(right, wrong):
    for value in ["Иван Петров", "Мария Сидорова", "Наталья Кузнецова"]:
        text = value.encode(right).decode(wrong, "replace")
        problem = f"it is {READ_AS[right]} that was read as {READ_AS[wrong]}"
        assert mojibake.cause_of(text) == problem, text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\ufffd\ufffd\ufffd\ufffd \ufffd\ufffd\ufffd", "U+FFFD"),
        ("Иван Петр\ufffdв", "U+FFFD"),
        ("a\ufffd", "U+FFFD"),
        ("???? ??????", "question marks"),
        ("????", "question marks"),
        ("(????) 204", "question marks"),
        ("???????? Ivan", "question marks"),
        ("?????, ????", "question marks"),
        ("MÃ¼ller", "UTF-8 that was read as Latin-1"),
        ("РРІР°РЅ", "UTF-8 that was read as Windows-1251"),
        ("Ð˜Ð²Ð°Ð½", "UTF-8 that was read as Latin-1"),
        ("╨Ш╨▓╨░╨╜", "UTF-8 that was read as CP866"),
    ],
)
def test_text_that_is_visibly_broken_is_not_sent(text, said):
    (defect,) = parse(sidecar(text).encode(), "call.json", ANYTHING)
    assert (defect.kind, said in defect.message) == ("sidecar-broken-text", True)
    user = {"fields": {}, "users": [{"id": "1", "fields": {"name": text}}]}
    assert defects_of(json.dumps(user)) == [("sidecar-broken-text", "users[0].fields.name")]
    with pytest.raises(ConfigError, match="the default 'a': it "):
        Schema(defaults={"a": text})


WHOLE = """Иван Петров|МегаФон|БиЛайн|ИП «РосТелеКом»|кВт и мВт|ФИО: ИвановИван
Ҷамшед Раҳмонов|Һиҙиә Ҡатай|Ўзбек Қодиров Ғани Ҳасан|Нұрлан Әбішұлы Қасымов
Їжакевич Євгенія|Ґалаґан Ґ|Уладзімір|Ђорђе Петровић|Љубица Њежић|Þórður Æ
Île d’Yeu naïve café|Łukasz Żółkiewski|Nguyễn Văn Ánh|Çağrı Şükrü Öztürk
Ñandú Ñoño|“цитата” – ‘слово’|•пункт • второй|5° и 7±2|§ 5 п. 3|©®™|¿Qué? ¡Sí!
€ 100 · ¥ 5|Оператор №5|СПб–Мск|Аня🙂|قال|שלום|ไทย|田中さん|გამარჯობა
Größe Müller Jäger|Čeština Řeřicha|Ősz Űr|São Paulo JOÃO|Smörgåsbord Åsa Öberg
what???|Что??? |Is it OK ???|a?b?c|??|https://a.example/?q=1???|A?|20 С°|Ёлка
ОАО «Ёж»|ООО"""


def test_text_of_all_sorts_is_whole():
    for line in WHOLE.split("\n"):
        for text in line.split("|"):
            assert isinstance(parse(sidecar(text).encode(), "call.json", ANYTHING), Metadata), text


def test_what_cannot_be_known_is_let_through():
    # Two letters make sense in any encoding, and capitals in another one are capitals.
    assert mojibake.cause_of("кХ") is mojibake.cause_of("РТЙЧЕФ") is None


@given(two_names)
def test_names_are_whole(values):
    text = " ".join(values)
    for each in (text, text.upper(), text.lower()):
        assert mojibake.cause_of(each) is None


def test_the_sample_of_the_vendor_is_known():
    two = Schema.for_kind(Kind.TWO_CHANNEL)
    fields = {
        "operator_name": "A",
        "operator_id": "1",
        "client_name": "B",
        "client_id": "2",
        "date": "2025-04-24T14:34:19+03:00",
        "direction_outgoing": "true",
        "language": "ru-RU",
    }
    assert fields_of(json.dumps(fields), two) == fields
    misspelt = {**fields, "language": "RU", "direction_outgoung": "true"}
    del misspelt["direction_outgoing"]
    assert defects_of(json.dumps(misspelt), two) == [
        ("sidecar-type", "language"),
        ("sidecar-misspelt", "direction_outgoung"),
    ]


@pytest.mark.parametrize("value", ["RU", "ru", "Ru"])
def test_a_language_without_its_country_is_the_samples(value):
    schema = Schema(required=frozenset({"language"}))
    assert "write ru-RU" in cure_of(json.dumps({"language": value}), schema)
    assert fields_of(json.dumps({"language": value})) == {"language": value}
    assert fields_of(json.dumps({"language": "ru-RU, kk-KZ"}), schema)


def test_a_connection_may_have_the_misspelt_field():
    data = json.dumps({"direction_outgoung": "true"})
    assert defects_of(data) == [("sidecar-misspelt", "direction_outgoung")]
    assert "rename it to direction_outgoing" in cure_of(data)
    for schema in (
        Schema(declared=frozenset({"direction_outgoung"})),
        Schema(required=frozenset({"direction_outgoung"})),
        Schema(defaults={"direction_outgoung": "false"}),
    ):
        assert fields_of(data, schema) == {"direction_outgoung": "true"}


@given(st.binary(max_size=300))
def test_any_bytes_are_judged(data):
    encoding.of(data)
    encoding.wide(data)
    encoding.is_damaged_utf8(data)
    for codec in CYRILLIC:
        mojibake.cause_of(data.decode(codec, "replace"))
