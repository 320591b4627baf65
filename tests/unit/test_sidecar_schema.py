"""What a connection's schema asks of a sidecar: fields, types, presets, defaults."""

import json

import pytest
from support.sidecar_harness import cure_of, defects_of, fields_of

from batch_uploader.core.errors import ConfigError
from batch_uploader.core.model import Defect, Metadata
from batch_uploader.prepare.sidecar import FieldType, Kind, Schema, without_sidecar

TWO_CHANNEL = {
    "operator_name": "Анна",
    "operator_id": "7",
    "client_name": "Иван",
    "client_id": "+79990000000",
    "date": "2025-04-24T14:34:19+03:00",
    "direction_outgoing": "true",
    "language": "ru-RU",
}


def test_required_keys_may_come_from_the_defaults_fault_60():
    schema = Schema(required=frozenset({"a", "b", "c"}), defaults={"b": "B", "x": "X"})

    assert fields_of('{"a": "1", "c": "3"}', schema) == {"a": "1", "c": "3", "b": "B", "x": "X"}
    assert fields_of('{"a": "1", "b": "2", "c": "3"}', schema)["b"] == "2"
    assert defects_of('{"b": "2"}', schema) == [
        ("sidecar-required", "a"),
        ("sidecar-required", "c"),
    ]


def test_a_required_key_with_a_bad_value_is_not_missing_too_fault_60():
    assert defects_of('{"a": null}', Schema(required=frozenset({"a"}))) == [("sidecar-null", "a")]


def test_the_stamp_field_is_ours_alone():
    schema = Schema(required=frozenset({"upload_key"}), stamp_field="upload_key")

    assert fields_of("{}", schema) == {}
    assert defects_of('{"upload_key": "x"}', schema) == [("sidecar-stamp", "upload_key")]


def test_an_undeclared_field_is_told_the_nearest_and_all_the_others():
    schema = Schema(declared=frozenset({"operator_name", "language"}))

    assert defects_of('{"operater_name": "A"}', schema) == [("sidecar-undeclared", "operater_name")]
    cure = cure_of('{"operater_name": "A"}', schema)
    assert "did you mean operator_name?" in cure
    assert "language, operator_name" in cure
    assert "did you mean" not in cure_of('{"zzz": "A"}', schema)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("string", ["", "x"], []),
        ("number", ["0", "-42", "007", "12345678901234567890"], ["", "1.5", "1e3", "x", "٣", "1 "]),
        ("decimal", ["0", "-42", "3.14", "-0.5"], ["", "1,5", "1e3", ".5", "1.", "NaN", "1\n"]),
        ("boolean", ["true", "false"], ["", "True", "yes", "1", "0"]),
        ("json", ["{}", "[1]", '"x"', "null", "9" * 1_000], ["", "{", "NaN", "[" * 1_000, "{}x"]),
        (
            "date",
            [
                "2025-04-24T14:34:19Z",
                "2025-04-24T14:34:19+03:00",
                "2025-04-24T14:34:19.123-11:30",
                "2024-02-29T00:00:00.123456789Z",
            ],
            [
                "",
                "2025-04-24",
                "2025-04-24T14:34:19",
                "2025-04-24 14:34:19Z",
                "2025-04-24T14:34:19 Z",
                "2025-04-24T14:34:19z",
                "2025-04-24T14:34Z",
                "2025-02-29T00:00:00Z",
                "2025-04-24T25:00:00Z",
                "24.04.2025 14:34",
                "2025-04-24T14:34:19Z\n",
                "1745494459",
            ],
        ),
    ],
)
def test_types_are_checked_on_the_text_that_is_sent_fault_60(kind, good, bad):
    schema = Schema(types={"a": FieldType(kind)})

    for value in good:
        assert fields_of(json.dumps({"a": value}), schema) == {"a": value}
    for value in bad:
        assert defects_of(json.dumps({"a": value}), schema) == [("sidecar-type", "a")], value


def test_json_numbers_and_booleans_fit_their_types():
    types = {"n": FieldType.NUMBER, "d": FieldType.DECIMAL, "b": FieldType.BOOLEAN}

    assert fields_of('{"n": 2.0, "d": 1e-2, "b": false}', Schema(types=types)) == {
        "n": "2",
        "d": "0.01",
        "b": "false",
    }


def test_a_date_without_an_offset_is_told_how_to_write_it_fault_60():
    schema = Schema(types={"date": FieldType.DATE})

    assert "+03:00" in cure_of('{"date": "2025-04-24T14:34:19"}', schema)


def test_the_two_channel_preset_asks_for_what_the_guide_does():
    schema = Schema.for_kind(Kind.TWO_CHANNEL)

    assert fields_of(json.dumps(TWO_CHANNEL), schema) == TWO_CHANNEL
    for name in TWO_CHANNEL:
        rest = {key: value for key, value in TWO_CHANNEL.items() if key != name}
        assert defects_of(json.dumps(rest), schema) == [("sidecar-required", name)]


def test_the_one_channel_preset_asks_for_less():
    schema = Schema.for_kind(Kind.ONE_CHANNEL)

    assert schema.required == {"operator_name", "operator_id", "date", "language"}
    assert schema.types["date"] is FieldType.DATE
    assert "direction_outgoing" not in schema.types


def test_a_preset_is_added_to():
    schema = Schema.for_kind(
        Kind.ONE_CHANNEL,
        defaults={"language": "ru-RU"},
        required=["ticket_id"],
        types={"ticket_id": FieldType.NUMBER},
        declared=["ticket_id"],
        stamp_field="upload_key",
    )
    good = {
        "operator_name": "A",
        "operator_id": "7",
        "date": "2025-01-01T00:00:00Z",
        "ticket_id": 1,
    }

    assert fields_of(json.dumps(good), schema)["language"] == "ru-RU"
    assert defects_of(json.dumps({**good, "ticket_id": "x", "stray": "x"}), schema) == [
        ("sidecar-type", "ticket_id"),
        ("sidecar-undeclared", "stray"),
    ]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"defaults": {"a": "x" * 1_025}}, "a"),
        ({"defaults": {"a": "x"}, "types": {"a": FieldType.DATE}}, "a"),
        ({"defaults": {"a": "x"}, "declared": frozenset({"b"})}, "declared fields are b"),
        ({"defaults": {"key": "x"}, "stamp_field": "key"}, "stamp field"),
        ({"defaults": {"": "x"}}, "no name"),
        ({"required": frozenset({"a"}), "declared": frozenset({"b"})}, "not declared: a"),
    ],
)
def test_settings_that_fit_no_sidecar_are_refused_at_once(settings, named):
    with pytest.raises(ConfigError, match=named):
        Schema(**settings)


def test_a_recording_that_needs_no_sidecar_gets_the_defaults():
    assert without_sidecar("call.wav", Schema(defaults={"a": "b"})) == Metadata(
        {"a": "b"}, defaulted=frozenset({"a"})
    )
    (defect,) = without_sidecar("call.wav", Schema(required=frozenset({"a"})))
    assert isinstance(defect, Defect)
    assert (defect.path, defect.kind, defect.field) == ("call.wav", "sidecar-required", "a")
    assert "--default a=VALUE" in defect.cure
