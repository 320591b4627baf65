"""Expressions of the settings: what they make, where it comes from, what they cannot do."""

import time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_uploader.core.errors import ConfigError
from batch_uploader.prepare.about import functions
from batch_uploader.prepare.about.mapping import CONSTANT, FieldMap, MappedValue, Scope
from batch_uploader.prepare.about.values import Values
from batch_uploader.prepare.sidecar import Schema
from batch_uploader.prepare.sidecar.tree import Problem

SOURCES = ("sidecar", "table", "name", "tags", "file")
ROW = Values(
    "table",
    {
        "src": "8 (900) 123-45-67",
        "dstchannel": "PJSIP/204-0000001a",
        "calldate": "27.03.2026 9:25:17",
        "type": "Входящий",
        "empty": "",
        "nothing": None,
        "name": "Anna",
        "phone": "204",
        "record id": 7,
    },
    "cdr.csv, line 1203",
)
NAME = Values(
    "name", {"src": "204", "uid": "1774592717.512", "d": "20260327", "empty": "x"}, "its name"
)
SIDECAR = Values(
    "sidecar",
    {"agent": {"name": "Олег", "ids": [5, 6]}, "items": 3, "parts": [{"n": "a"}, {"n": "b"}]},
    "call.json",
)
KNOWN = functions.of(ZoneInfo("Europe/Moscow"), {"operators": {"204": "Anna"}.get})


def scope(*described, order=SOURCES, absent=None):
    return Scope(described or (ROW, NAME, SIDECAR), order, absent or {})


def made(expression, within=None):
    return FieldMap({"x": expression}, SOURCES, KNOWN).make("x", within or scope())


@pytest.mark.parametrize(
    ("expression", "text", "origin"),
    [
        ("src | phone", "79001234567", "src of cdr.csv, line 1203"),
        ("name.src", "204", "src of its name"),
        ("name", "Anna", "name of cdr.csv, line 1203"),
        ("phone | phone", "204", "phone of cdr.csv, line 1203"),
        ("phone(src)", "79001234567", "src of cdr.csv, line 1203"),
        ("table['record id']", "7", "record id of cdr.csv, line 1203"),
        (
            "dstchannel | extension | lookup('operators')",
            "Anna",
            "dstchannel of cdr.csv, line 1203",
        ),
        ("calldate | time", "2026-03-27T09:25:17+03:00", "calldate of cdr.csv, line 1203"),
        ("type | outgoing", "false", "type of cdr.csv, line 1203"),
        ("'ru-RU'", "ru-RU", CONSTANT),
        ("true", "true", CONSTANT),
        ("agent.name", "Олег", "agent.name of call.json"),
        ("sidecar.agent.ids[1]", "6", "agent.ids.1 of call.json"),
        ("sidecar.items", "3", "items of call.json"),
        ("parts | map(attribute='n') | join('+')", "a+b", "parts of call.json"),
        (
            "src ~ '/' ~ name.uid",
            "8 (900) 123-45-67/1774592717.512",
            "src of cdr.csv, line 1203; uid of its name",
        ),
        ("src.strip() and type", "Входящий", "src, type of cdr.csv, line 1203"),
        ("empty", "x", "empty of its name"),
        ("nothing", None, "nothing of cdr.csv, line 1203"),
        ("missing | default('-')", "-", CONSTANT),
        ("a.b.c | default(src[-5:])", "45-67", "src of cdr.csv, line 1203"),
        ("'in' if src is defined and nowhere is not defined else 'out'", "in", None),
        ("(0.1 + 0.2) | round(2)", "0.3", CONSTANT),
        ("1.50", "1.5", CONSTANT),
        ("src.replace('8', '7').split(' ')[0]", "7", "src of cdr.csv, line 1203"),
        ("dstchannel | find('nothing')", None, "dstchannel of cdr.csv, line 1203"),
    ],
)
def test_what_expressions_make_and_where_it_comes_from(expression, text, origin):
    result = made(expression)
    assert result.text == text
    assert origin is None or result.origin == origin


def test_the_order_decides_among_sources():
    assert made("src", scope(ROW, NAME, order=("name", "table"))).text == "204"
    assert made("src", scope(NAME, ROW, order=("table", "name"))).text == "8 (900) 123-45-67"


def test_of_several_sidecars_the_first_counts():
    within = scope(
        Values("sidecar", {"a": 1}, "one.json"), Values("sidecar", {"a": 2, "b": 3}, "two.xml")
    )
    assert made("sidecar.a", within) == MappedValue("1", "a of one.json", constant=False)
    assert made("b", within) == MappedValue("3", "b of two.xml", constant=False)


def test_only_what_uses_no_source_is_constant():
    assert made("'ru-RU' | lower").constant
    assert not made("src").constant


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("sorce", "sorce is missing: sidecar has agent, items, parts; table has src, dstchannel"),
        ("table.sorce", "table.sorce is missing; table has src, dstchannel"),
        ("sidecar.agent.nam | phone", "sidecar.agent.nam is missing; sidecar has agent"),
        ("tags.title", "tags.title is missing: it has no tags"),
        ("sidecar.agent.ids[5]", "sidecar.agent.ids.5 is missing"),
        ("src ~ nowhere", "nowhere is missing"),
    ],
)
def test_a_missing_field_is_named_with_what_there_is(expression, message):
    problem = made(
        expression,
        scope(absent={"tags": "it has no tags"})
        if "tags" in expression
        else scope(ROW, NAME, SIDECAR),
    )
    assert isinstance(problem, Problem)
    assert problem.kind == "metadata-missing"
    assert problem.message.startswith(message)
    assert expression in problem.message


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("type | choose({'a': 1})", "'входящий' is not among its words"),
        ("dstchannel | time", "its time is written in an unknown way"),
        ("1 / 0", "do not fit"),
        ("src + 1", "+ calculates with numbers only"),
        ("agent", "it gives several values"),
        ("parts | map(attribute='n')", "it gives several values"),
        ("2 ** 5", "** is not available"),
        ("'x' * 1000000000", "* calculates with numbers only"),
        ("[1] * 1000000000", "* calculates with numbers only"),
        ("'%1000000000d' % 1", "% calculates with numbers only"),
        (
            "src | replace('', src) | replace('', src) | replace('', src) | replace('', src)",
            "more than",
        ),
        ("99999999999999999999999999999999 * 9", "number is too large"),
        ("src | phone(1, 2, 3)", "do not fit"),
        ("parts | sort", "do not fit"),
    ],
)
def test_a_value_that_does_not_fit_is_told_with_its_expression_and_origin(expression, message):
    problem = made(expression)
    assert isinstance(problem, Problem), problem
    assert problem.kind == "metadata-value"
    assert message in problem.message
    assert expression in problem.message
    if "src" in expression:
        assert "cdr.csv, line 1203" in problem.message
    assert problem.cure
    assert "900" not in problem.message.replace(expression, "")


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("src |", "unexpected end of template"),
        ("src)", "unexpected ')'"),
        ("src dst", "'dst' follows where it should end"),
        ("src | fone", "No filter named 'fone'"),
        ("range(10)", "no function range"),
        ("src.format(1)", "no function format"),
        ("src | lookup('operator')", "no lookup table 'operator'"),
        ("lookup(src, 'people') or src", "no lookup table 'people'"),
        ("cycler.__init__.__globals__.os.popen('id')", "no function popen"),
        ("src | attr('__class__')", "No filter named 'attr'"),
        ("{% for x in y %}", "unexpected"),
        ("src" + " ~ src" * 1000, "longer than 4,000 characters"),
        ("(" * 900 + "1" + ")" * 900, ""),
        (5, "it is not a text"),
    ],
)
def test_a_wrong_expression_is_a_wrong_setting(expression, message):
    """Fault 118."""
    with pytest.raises(ConfigError) as caught:
        FieldMap({"x": expression}, SOURCES, KNOWN)
    assert caught.value.problem.startswith("metadata.map.x: ")
    assert message in caught.value.problem
    assert caught.value.setting == "metadata.map.x"
    assert caught.value.hints
    assert any("did you mean phone?" in each for each in caught.value.hints) == ("fone" in message)


@pytest.mark.parametrize(
    "expression",
    [
        "src.__class__.__mro__",
        "src['__class__']",
        "agent.__class__",
        "table.keys",
        "self.__init__",
        "().__class__.__base__",
        "phone.__globals__",
    ],
)
def test_no_attribute_but_fields_is_reached(expression):
    assert made(expression).kind == "metadata-missing"


def test_nothing_runs_or_grows_without_end():
    """Fault 118."""
    long = Values("table", {"a": "x" * 60_000, "l": ["y"] * 100_000}, "t")
    before = time.perf_counter()
    for expression in (
        "a | replace('x', a)",
        "l | join(a)",
        "a ~ a ~ a | replace('x', 'yy')",
        "a + a",
        "a | replace('', 'z' ~ a)",
        "l | map('replace', 'y', a) | join",
    ):
        assert isinstance(made(expression, scope(long)), Problem), expression
    assert time.perf_counter() - before < 5


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.text(max_size=40)
    | st.datetimes()
    | st.dates()
    | st.from_regex(
        r"[+8]?[0-9 ()-]{5,15}|[0-9.:/ TZ+-]{5,25}|\d{5}\.\d+|\d+E\+\d+", fullmatch=True
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
EXPRESSIONS = [
    *("v", "v | phone", "v | phone(plus=true)", "v | extension", "v | outgoing", "v | boolean"),
    *("v | choose({'in': 1, 'x': w})", "v | choose(w)", "v | find('([0-9]+)')", "v | find(w)"),
    *("v | replace(w, 'x')", "v | replace('a', w)", "v | join", "v | join(w)", "v | split | join"),
    *("v | split(w) | first", "v | number", "v | round", "v | round(w)", "v | lookup('operators')"),
    *("v | lookup(w)", "v | time", "v | time(w)", "v | time('%Y-%m-%d', '%c')", "v | time(zone=w)"),
    *("v | time(fold='second')", "v | time(utc=w)", "v | epoch", "v | epoch('ms')", "v | epoch(w)"),
    *("v | excel", "v ~ w", "v + w", "v - w", "v * w", "v / w", "v // w", "v % w", "v[w]", "v[0]"),
    *("v.a.b", "v[1:2]", "v < w", "v in w", "-v", "v | default(w)", "v | first", "v | last"),
    *(
        "v | length",
        "v | max",
        "v | sort",
        "v | unique | list",
        "v | map('phone') | join",
        "v | abs",
    ),
    *("v | trim", "v | upper", "v | title", "v | string", "v | reverse", "v | select | list"),
    *("v.split(w)", "v.strip(w)", "v.replace(w, w)", "v | selectattr('a', 'eq', w) | list | first"),
    *(
        "v is divisibleby(w)",
        "v if w else none",
        "v | capitalize",
        "v | min",
        "v | rejectattr(w) | join",
    ),
]


def test_a_part_is_no_field_and_stands_for_its_expression():
    parts = {
        "_who": "_channel | extension",
        "operator_id": "_who",
        "operator_name": "_agent.name or _who",
        "_channel": "dstchannel",
        "_agent": "sidecar.agent",
    }
    mapped = FieldMap(parts, SOURCES, KNOWN)
    assert mapped.targets == ("operator_id", "operator_name")
    assert mapped.uses("operator_id") == (("dstchannel",),)
    found = mapped.make("operator_id", scope())
    assert found == MappedValue("204", "dstchannel of cdr.csv, line 1203", constant=False)
    assert mapped.make("operator_name", scope()).text == "Олег"


def test_what_has_a_default_is_not_needed():
    text = "(cnum | default('') or src) ~ (d | d(e)) ~ (f if g else h.i)[0]"
    mapped = FieldMap({"x": text}, SOURCES, KNOWN)
    uses = [("cnum",), ("src",), ("d",), ("e",), ("f",), ("g",), ("h", "i")]
    assert set(mapped.uses("x")) == set(uses)
    assert set(mapped.needs("x")) == {("src",), ("f",), ("g",), ("h", "i")}


def test_a_column_may_begin_as_a_part_does():
    row = Values("table", {"_id": "17"}, "cdr.csv, line 2")
    assert made("_id", scope(row)).text == "17"


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ({"_a": "_a"}, "_a is made of itself"),
        ({"_a": "_b ~ 'x'", "_b": "src or _a"}, "is made of itself"),
        ({f"_{n}": f"_{n + 1} ~ _{n + 1}" for n in range(30)} | {"_30": "src"}, "too many parts"),
        ({"_a": "src ||"}, "metadata.map._a: "),
    ],
)
def test_parts_that_cannot_be_put_together_are_told(parts, problem):
    with pytest.raises(ConfigError) as caught:
        FieldMap(parts, SOURCES, KNOWN)
    assert problem in caught.value.problem


EVERY = FieldMap({str(number): text for number, text in enumerate(EXPRESSIONS)}, SOURCES, KNOWN)
PLAIN = Schema()


@given(VALUES, VALUES)
def test_any_value_through_any_function_is_a_text_or_a_problem(value, other):
    """Fault 118."""
    within = scope(Values("table", {"v": value, "w": other}, "t, line 1"))
    for target in EVERY.targets:
        result = EVERY.make(target, within)
        if isinstance(result, MappedValue):
            assert result.text is None or isinstance(result.text, str)
            if result.text is not None:
                PLAIN.check_value(target, result.text)
        else:
            assert result.message
            assert result.cure
