"""What is wrong with settings is told in our own words."""

import pytest
from msgspec import ValidationError, convert

from batch_uploader.prepare.about.foreign import DeclaredSidecar
from batch_uploader.prepare.about.lookups import LookupSpec
from batch_uploader.prepare.about.tables.spec import TableSpec
from batch_uploader.settings.misfits import misfit

RIGHT = {"file": "x.csv", "match": {"column": "a"}}


@pytest.mark.parametrize(
    ("kind", "given", "problem", "hint"),
    [
        (
            TableSpec,
            [RIGHT, RIGHT | {"match": {"colum": "a"}}],
            "number 2: unknown setting 'colum' in match",
            "did you mean column? the settings in match are column,",
        ),
        (
            TableSpec,
            [RIGHT | {"delimter": ";"}],
            "unknown setting 'delimter'",
            "did you mean delimiter? the settings there are as,",
        ),
        (TableSpec, [{"file": "x.csv"}], "match is missing", "docs/metadata.md"),
        (TableSpec, [RIGHT | {"file": 5}], "file: it is a number and should be a text", "docs"),
        (TableSpec, [RIGHT | {"columns": "a"}], "columns: it is a text and should be a list", ""),
        (TableSpec, [RIGHT | {"match": "a"}], "match: it is a text and should be a table", ""),
        (TableSpec, RIGHT, "it is a table and should be a list", ""),
        (
            TableSpec,
            [RIGHT | {"match": {"column": "a", "window": "soon"}}],
            "match: 'soon' is not a duration; write it as 90, 90s, 30m or 2h",
            "",
        ),
        (LookupSpec, [{"as": "names"}], "key is missing", ""),
        (
            DeclaredSidecar,
            [{"name": "x.json", "recrods": ""}],
            "unknown setting 'recrods'",
            "records?",
        ),
    ],
)
def test_it_names_the_setting_and_the_cure(kind, given, problem, hint):
    with pytest.raises(ValidationError) as caught:
        convert(given, tuple[kind, ...])
    told, cure = misfit(caught.value, kind)
    assert told == problem
    assert hint in cure
