"""What a sidecar says, and every way in which it can be wrong."""

import json
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.sidecar_harness import ANYTHING, cure_of, defects_of, fields_of

from batch_uploader.core.model import Defect, Metadata, Role, User
from batch_uploader.prepare.sidecar import (
    DEFECT_LIMIT,
    SIZE_LIMIT,
    VALUE_LIMIT,
    FieldType,
    Kind,
    Schema,
    parse,
)
from batch_uploader.prepare.sidecar.mojibake import cause_of


def test_a_flat_object_is_the_fields():
    assert fields_of('{"operator_id": "7", "имя": "Анна", "empty": ""}') == {
        "operator_id": "7",
        "имя": "Анна",
        "empty": "",
    }
    assert fields_of("{}") == {}


def test_a_byte_order_mark_is_fine_fault_55():
    assert fields_of(b'\xef\xbb\xbf{"a": "b"}') == {"a": "b"}


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        ("true", "true"),
        ("false", "false"),
        ("7", "7"),
        ("-7", "-7"),
        ("0", "0"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("0e99999", "0"),
        ("1.5", "1.5"),
        ("1.50", "1.5"),
        ("2.0", "2"),
        ("100", "100"),
        ("100.00", "100"),
        ("1e3", "1000"),
        ("1E+3", "1000"),
        ("1.5e-3", "0.0015"),
        ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
        ("12345678901234567890123456789", "12345678901234567890123456789"),
        ("9007199254740993", "9007199254740993"),
    ],
)
def test_numbers_and_booleans_have_one_form(literal, text):
    assert fields_of(f'{{"a": {literal}}}') == {"a": text}


@pytest.mark.parametrize(
    "literal",
    [
        "9" * 5_000,
        "-" + "9" * 5_000,
        "1." + "1" * 5_000,
        "1e2000",
        "1e-2000",
        "1e" + "9" * 15,
        "1e" + "9" * 30,
    ],
)
def test_a_number_of_thousands_of_digits_is_a_defect_fault_58(literal):
    assert defects_of(f'{{"a": {literal}}}') == [("sidecar-value-too-long", "a")]


def test_the_full_form_has_fields_and_users():
    metadata = parse(
        b"""{"fields": {"language": "ru-RU", "rank": 1},
             "users": [{"id": 7, "role": "Operator", "fields": {"name": "Anna"}},
                       {"id": "c", "role": "CLIENT"}, {"id": "b", "role": "bot"}, {"id": "x"}]}""",
        "call.json",
        ANYTHING,
    )

    assert metadata == Metadata(
        {"language": "ru-RU", "rank": "1"},
        (
            User("7", Role.OPERATOR, {"name": "Anna"}),
            User("c", Role.CLIENT),
            User("b", Role.BOT),
            User("x", Role.UNSPECIFIED),
        ),
    )
    assert parse(b'{"fields": {}}', "call.json", ANYTHING) == Metadata({})


def test_a_field_that_is_called_fields_does_not_make_the_full_form():
    assert fields_of('{"fields": "three", "users": "two"}') == {"fields": "three", "users": "two"}
    assert defects_of('{"fields": ["a"]}') == [("sidecar-nesting", "fields")]
    assert "full form" in cure_of('{"users": []}')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"fields": {}, "user": []}', [("sidecar-unknown-key", "user")]),
        ('{"fields": {}, "users": {}}', [("sidecar-shape", "users")]),
        ('{"fields": {}, "users": null}', [("sidecar-shape", "users")]),
        ('{"fields": {}, "users": ["a"]}', [("sidecar-shape", "users[0]")]),
        ('{"fields": {}, "users": [{}]}', [("sidecar-user", "users[0].id")]),
        ('{"fields": {}, "users": [{"id": ""}]}', [("sidecar-user", "users[0].id")]),
        ('{"fields": {}, "users": [{"id": null}]}', [("sidecar-null", "users[0].id")]),
        (
            '{"fields": {}, "users": [{"id": "1"}, {"id": 1}]}',
            [("sidecar-user", "users[1].id")],
        ),
        (
            '{"fields": {}, "users": [{"id": "1", "role": "boss"}]}',
            [("sidecar-role", "users[0].role")],
        ),
        (
            '{"fields": {}, "users": [{"id": "1", "role": null}]}',
            [("sidecar-role", "users[0].role")],
        ),
        (
            '{"fields": {}, "users": [{"id": "1", "roles": "bot"}]}',
            [("sidecar-unknown-key", "users[0].roles")],
        ),
        (
            '{"fields": {}, "users": [{"id": "1", "fields": []}]}',
            [("sidecar-shape", "users[0].fields")],
        ),
        (
            '{"fields": {}, "users": [{"id": "1", "fields": {"a": null, "": "x"}}]}',
            [("sidecar-null", "users[0].fields.a"), ("sidecar-empty-key", "users[0].fields.")],
        ),
    ],
)
def test_the_full_form_is_strict(text, expected):
    assert defects_of(text) == expected


def test_an_unknown_key_of_the_full_form_is_told_the_nearest():
    assert "did you mean users" in cure_of('{"fields": {}, "user": []}')


def test_a_role_that_is_none_is_told_those_that_are():
    text = '{"fields": {}, "users": [{"id": "1", "role": "unspecified"}]}'

    assert "operator, client, bot" in cure_of(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": NaN}', [("sidecar-not-a-number", "a")]),
        ('{"a": -Infinity}', [("sidecar-not-a-number", "a")]),
        ('{"a": null}', [("sidecar-null", "a")]),
        ('{"a": {"b": "c"}}', [("sidecar-nesting", "a")]),
        ('{"a": []}', [("sidecar-nesting", "a")]),
        ('{"a": "1", "a": "1"}', [("sidecar-duplicate-key", "a")]),
        ('{"a": "1", "a": "2", "a": "3"}', [("sidecar-duplicate-key", "a")]),
        ('{"fields": {"a": "1", "a": "2"}}', [("sidecar-duplicate-key", "a")]),
        ('{"fields": {}, "fields": {}}', [("sidecar-duplicate-key", "fields")]),
        ('{"fields": 1, "fields": {}}', [("sidecar-duplicate-key", "fields")]),
        (
            '{"fields": {}, "users": [{"id": "1", "id": "2"}]}',
            [("sidecar-duplicate-key", "users[0].id")],
        ),
        (
            '{"fields": {}, "users": [{"id": "1", "fields": {"a": "", "a": ""}}]}',
            [("sidecar-duplicate-key", "users[0].fields.a")],
        ),
        ('{"": "x"}', [("sidecar-empty-key", None)]),
        ('{" ": "x"}', [("sidecar-empty-key", " ")]),
    ],
)
def test_what_json_allows_and_a_field_does_not_fault_57(text, expected):
    assert defects_of(text) == expected


@pytest.mark.parametrize("text", ["[]", '"a"', "7", "null", "NaN", "[[]]", "true"])
def test_anything_but_an_object_is_a_defect(text):
    assert defects_of(text) == [("sidecar-shape", None)]


@pytest.mark.parametrize("data", [b"", b" \r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_an_empty_file_is_a_defect(data):
    assert defects_of(data) == [("sidecar-empty", None)]


@pytest.mark.parametrize(
    "text",
    ['{"a": "b"', '{"a": "b",}', "{'a': 'b'}", '{"a": "b\n"}', '{"a": \\u0041}', "\ufeff\ufeff{}"],
)
def test_no_json_is_a_defect_that_names_the_place(text):
    assert defects_of(text) == [("sidecar-json", None)]
    (defect,) = parse(text.encode(), "call.json", ANYTHING)
    assert "line 1, column" in defect.message


def test_garbage_after_the_object_is_to_be_removed():
    assert defects_of('{"a": "b"} {"c": "d"}') == [("sidecar-json", None)]
    assert "remove what follows" in cure_of('{"a": "b"}\n;')


def test_windows_1251_is_named_in_the_cure_fault_56():
    data = '{"operator_name": "Анна"}'.encode("cp1251")

    assert defects_of(data) == [("sidecar-encoding", None)]
    assert "Windows-1251" in cure_of(data)


def test_bytes_that_are_no_windows_1251_either_are_not_called_so_fault_56():
    assert defects_of(b'{"a": "\x98\xff"}') == [("sidecar-encoding", None)]
    assert "1251" not in cure_of(b'{"a": "\x98\xff"}')


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_a_defect_fault_56(codec):
    bom = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(codec, b"")

    assert defects_of(bom + '{"a": "b"}'.encode(codec)) == [("sidecar-encoding", None)]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"a":' * 150_000,
        "[" * 200_000 + "]" * 200_000,
        '{"a":' * 100_000 + "1" + "}" * 100_000,
    ],
)
def test_two_hundred_thousand_levels_are_a_defect_fault_58(text):
    assert defects_of(text) == [("sidecar-nesting", None)]


def test_brackets_in_strings_nest_nothing():
    text = json.dumps({"a": '[{"' * 100, "b": "\\" + "[" * 100})

    assert fields_of(text) == json.loads(text)


@pytest.mark.parametrize("filler", ['"' + '\\"' * 200_000, '"\\' * 200_000, '["' * 200_000])
def test_odd_quotes_take_no_time_to_look_through(filler):
    started = time.process_time()
    defects_of("[]" * 100 + filler)

    assert time.process_time() - started < 2


def test_lone_surrogates_are_a_defect_of_a_field_that_can_be_printed_fault_58():
    assert defects_of(r'{"a": "\ud800", "\udfff": "b"}') == [
        ("sidecar-surrogate", "a"),
        ("sidecar-surrogate", r"\udfff"),
    ]
    assert defects_of(r'{"fields": {}, "users": [{"id": "\ud800"}]}') == [
        ("sidecar-surrogate", "users[0].id")
    ]
    assert fields_of(r'{"a": "\ud83d\ude00"}') == {"a": "\N{GRINNING FACE}"}


def test_a_value_is_measured_in_bytes_fault_59():
    assert fields_of(json.dumps({"a": "x" * 1_024})) == {"a": "x" * 1_024}
    assert fields_of(json.dumps({"a": "й" * 512})) == {"a": "й" * 512}
    assert defects_of(json.dumps({"a": "x" * 1_025})) == [("sidecar-value-too-long", "a")]
    assert defects_of(json.dumps({"a": "й" * 513})) == [("sidecar-value-too-long", "a")]
    users = [{"id": "1", "fields": {"a": "й" * 513}}]
    assert defects_of(json.dumps({"fields": {}, "users": users})) == [
        ("sidecar-value-too-long", "users[0].fields.a")
    ]


def test_a_huge_file_is_not_even_parsed():
    assert defects_of(b"{" * (SIZE_LIMIT + 1)) == [("sidecar-too-large", None)]
    assert fields_of(b"{}".ljust(SIZE_LIMIT)) == {}


def test_all_defects_are_found_in_one_go():
    schema = Schema.for_kind(Kind.TWO_CHANNEL, stamp_field="upload_key")
    text = """{"operator_name": null, "operator_id": [], "date": "2025-04-24 14:34",
               "direction_outgoing": "yes", "upload_key": "x", "": "y", "operator_id": 7}"""

    assert defects_of(text, schema) == [
        ("sidecar-duplicate-key", "operator_id"),
        ("sidecar-null", "operator_name"),
        ("sidecar-nesting", "operator_id"),
        ("sidecar-type", "date"),
        ("sidecar-type", "direction_outgoing"),
        ("sidecar-stamp", "upload_key"),
        ("sidecar-empty-key", None),
        ("sidecar-required", "client_id"),
        ("sidecar-required", "client_name"),
        ("sidecar-required", "language"),
    ]


def test_a_file_of_nothing_but_defects_does_not_flood():
    text = json.dumps({f"k{n}": None for n in range(10_000)})
    started = time.process_time()

    assert len(defects_of(text, Schema(declared=frozenset({"a", "b"})))) == DEFECT_LIMIT
    assert time.process_time() - started < 2


def test_no_defect_quotes_a_value():
    schema = Schema(types=dict.fromkeys("abcd", FieldType.DATE), declared=frozenset("abcd"))
    secret = "canary-7731"
    texts = [
        json.dumps({"a": secret, "b": [secret], "c": {"d": secret}}),
        json.dumps({"a": secret})[:-3],
        json.dumps({"fields": {}, "users": [{"id": [secret], "role": secret}, secret]}),
        json.dumps({"a": secret * 200}),
    ]

    for text in texts:
        assert secret not in repr(parse(text.encode(), "call.json", schema))


def test_a_long_key_is_shown_short():
    (defect,) = parse(json.dumps({"k" * 5_000: None}).encode(), "call.json", ANYTHING)

    assert len(defect.field) < 100


@given(st.binary(max_size=200))
def test_no_bytes_raise(data):
    found = parse(data, "call.json", Schema.for_kind(Kind.TWO_CHANNEL))

    assert isinstance(found, Metadata) or all(isinstance(each, Defect) for each in found)


WILD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["\ud800", "operator", "true"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["fields", "users", "id", "role", "a", ""]) | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(WILD)
def test_no_json_raises_and_what_passes_is_sound(value):
    schema = Schema(stamp_field="a", declared=frozenset({"fields", "users", "id", "role"}))
    for each in (ANYTHING, schema):
        found = parse(json.dumps(value).encode(), "call.json", each)
        if isinstance(found, tuple):
            assert found
            for defect in found:
                str(defect).encode()
                (defect.field or "").encode()
            continue
        fields = [found.fields, *(user.fields for user in found.users)]
        assert all(key for mapping in fields for key in mapping)
        assert all(len(text.encode()) <= VALUE_LIMIT for each in fields for text in each.values())
        assert all(user.id for user in found.users)


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=250)


@given(st.dictionaries(NAMES, TEXTS), st.booleans(), st.sampled_from([b"", b"\xef\xbb\xbf"]))
def test_sound_strings_come_back_as_they_were(fields, ascii_only, mark):
    assume(not any(map(cause_of, fields.values())) and "direction_outgoung" not in fields)
    data = mark + json.dumps(fields, ensure_ascii=ascii_only).encode()

    assert parse(data, "call.json", ANYTHING) == Metadata(fields)
    full = mark + json.dumps({"fields": fields}, ensure_ascii=ascii_only).encode()
    assert parse(full, "call.json", ANYTHING) == Metadata(fields)


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_its_value_and_has_one_form(number):
    text = fields_of(f'{{"a": {number}}}')["a"] if abs(number.adjusted()) < 500 else "0"
    assert "e" not in text.lower()
    if abs(number.adjusted()) < 500:
        assert type(number)(text) == number
        assert fields_of(f'{{"a": {text}}}')["a"] == text
