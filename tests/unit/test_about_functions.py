"""The functions of expressions, one by one."""

from decimal import Decimal

import pytest

from batch_uploader.prepare.about import functions as f
from batch_uploader.prepare.about.values import Unfit


@pytest.mark.parametrize(
    ("written", "digits"),
    [
        *((each, "79001234567") for each in ("79001234567", "+79001234567", "89001234567")),
        *(
            (each, "79001234567")
            for each in ("9001234567", "8 (900) 123-45-67", "+7 900 123\u201145\u201167")
        ),
        *((each, "79001234567") for each in (79001234567, 79001234567.0, "7.9001234567e10")),
        *(
            (each, "79001234567")
            for each in ("sip:79001234567@vpbx1.mangosip.ru", "tel:+79001234567")
        ),
        *((each, "79001234567") for each in ('"Anna" <sip:+79001234567@pbx;user=phone>',)),
        *(
            (f"8 900 123-45-67{each}", "79001234567")
            for each in (" доб. 12", ",доб.12", " (доб. 12)", " вн. 12", " ext 12", "x12", "#12")
        ),
        *((each, "79001234567") for each in ("tel:+79001234567;ext=12", "+79001234567;ext=12")),
        *((each, each) for each in ("79001234567,79001234568", "204x12", "ext 12", "доб. 12")),
        ('"Anna" <204>', "204"),
        ("8-10-49-30-1234567", "49301234567"),
        ("00 49 30 1234567", "49301234567"),
        ("+49 30 1234567", "49301234567"),
        ("4951234567", "74951234567"),
        ("204", "204"),
        (204, "204"),
        ("sip:ivanov@vpbx1.mangosip.ru", "ivanov"),
        ("unknown", ""),
        ("Anonymous", ""),
        ("sip:anonymous@anonymous.invalid", ""),
        ("", ""),
        (None, None),
    ],
)
def test_phones(written, digits):
    assert f.phone(written) == digits


def test_phones_with_plus():
    assert f.phone("8 900 123-45-67", plus=True) == "+79001234567"
    assert f.phone("+49301234567", True) == "+49301234567"
    assert f.phone("204", plus=True) == "204"


@pytest.mark.parametrize("damaged", ["7,90012E+10", "7.90012E+10", "7.9e5", [1], {"a": 1}])
def test_a_phone_that_a_spreadsheet_rounded_is_told(damaged):
    with pytest.raises(Unfit):
        f.phone(damaged)


@pytest.mark.parametrize(
    ("channel", "extension"),
    [
        ("PJSIP/204-0000001a", "204"),
        ("SIP/204-000000b2", "204"),
        ("Local/204@from-queue-0000000d;1", "204"),
        ("Local/FMPR-204@from-internal-00000045;1", "204"),
        ("Local/FMGL-79001234567#@from-internal-00000046;1", None),
        ("IAX2/1004-5", "1004"),
        ("sip/204", "204"),
        ("204", "204"),
        ("SIP/megafon-0000001a", None),
        ("PJSIP/79001234567-0000001a", None),
        ("DAHDI/i1/79001234567-1", None),
        ("", ""),
        (None, None),
    ],
)
def test_extensions(channel, extension):
    assert f.extension(channel) == extension


@pytest.mark.parametrize(
    ("word", "result"),
    [
        *(
            (each, True)
            for each in ("out", "OUT", "Outbound", "исходящий", "Исх.", "O", "ausgehend")
        ),
        *((each, False) for each in ("in", " Inbound ", "INCOMING", "Входящий", "I")),
        ("", ""),
        (None, None),
    ],
)
def test_directions(word, result):
    assert f.outgoing(word) == result


def test_choose_knows_its_words_their_case_and_synonyms():
    assert f.choose(1, {"1": "true", "2": "false"}) == "true"
    assert f.choose("1", {1: "true"}) == "true"
    assert f.choose(True, {"true": "x"}) == "x"
    assert f.choose("Внутренний", {"in": False, "internal": "-"}) == "-"
    assert f.choose("in", {"Входящий": 0}) == 0
    assert f.choose("Inbound", {"inbound": 1, "in": 2}) == 1
    assert f.choose("x", {"in": 1}, "other") == "other"


def test_choose_tells_what_it_knows_and_quotes_no_number_of_somebody():
    with pytest.raises(Unfit) as caught:
        f.choose("transfer", {"out": True, "in": False})
    assert caught.value.message == "'transfer' is not among its words"
    assert "in, out" in caught.value.cure
    with pytest.raises(Unfit) as caught:
        f.choose("79001234567", {"out": True})
    assert "7900" not in caught.value.message
    with pytest.raises(Unfit):
        f.choose("x", "in")


def test_booleans():
    assert [f.boolean(each) for each in ("1", 1, "Да", "True", True, "yes")] == [True] * 6
    assert [f.boolean(each) for each in ("0", 0, "нет", "FALSE", False, "")] == [False] * 5 + [""]
    with pytest.raises(Unfit, match="'2' is neither true nor false"):
        f.boolean(2)


def test_find():
    assert f.find("PJSIP/204-0000001a", r"/(\d+)-") == "204"
    assert f.find("abc", "b.") == "bc"
    assert f.find("a1", r"(?P<l>\w)(?P<d>\d)", "d") == "1"
    assert f.find("a1", r"(\w)(\d)", 2) == "1"
    assert f.find("abc", "x") is None
    assert f.find(None, "x") is None
    assert f.find(204, r"\d") == "2"
    for pattern, group in (("(", None), ("(a+)+", None), ("a", 3), ("(a)", "x")):
        with pytest.raises(Unfit):
            f.find("a", pattern, group)


def test_texts():
    assert f.replace("a-b-c", "-", "") == "abc"
    assert f.replace("a\\b", "\\", "/") == "a/b"
    assert f.replace(None, "a") is None
    assert f.join(["a", None, "", 2], " ") == "a 2"
    assert f.join("abc") == "abc"
    assert f.join([]) == ""
    assert f.split("a-b", "-") == ["a", "b"]
    assert f.split(None) == []
    for wrong in (lambda: f.split("a", ""), lambda: f.join({"a": 1}), lambda: f.join(5)):
        with pytest.raises(Unfit):
            wrong()


def test_numbers():
    assert f.number("1 234,5") == Decimal("1234.5")
    assert f.number("12.0") == 12
    assert f.number(3) == 3
    assert f.number("") == ""
    assert f.round_to("2.567", 2) == Decimal("2.57")
    assert f.round_to(2.4) == 2
    assert f.round_to(None) is None
    for wrong in ("x", "1e5", "1" * 50):
        with pytest.raises(Unfit):
            f.number(wrong)
    for value, digits in (("2", 50), ("2", "x"), (float("nan"), 0), (float("inf"), 0)):
        with pytest.raises(Unfit):
            f.round_to(value, digits)


def test_lookups():
    lookup = f.LookingUp({"operators": {"204": "Anna"}.get})
    assert lookup(" 204 ", "operators") == "Anna"
    assert lookup(204, "operators") == "Anna"
    assert lookup("205", "operators") is None
    assert lookup("", "operators") == ""
    with pytest.raises(Unfit, match="no lookup table 'people'"):
        lookup("204", "people")


def test_no_text_grows_without_end():
    long = "x" * 60_000
    for wrong in (
        lambda: f.replace(long, "x", "y" * 100),
        lambda: f.replace(long, "", "yy"),
        lambda: f.join([long, long]),
        lambda: f.join(["x"] * 10_000, long),
        lambda: f.phone("x" * 100_000),
        lambda: f.phone(10**5000),
    ):
        with pytest.raises(Unfit):
            wrong()
