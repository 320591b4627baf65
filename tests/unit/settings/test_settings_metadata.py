"""Which table a file of ``--metadata`` is."""

import pytest

from batch_uploader.core.errors import ConfigError

CSV = """
[[metadata.table]]
file = "cdr.csv"
match = { column = "recordingfile" }
"""
DATABASE = """
[[metadata.table]]
database = "sqlite:cdr.db"
query = "SELECT * FROM cdr"
match = { column = "recordingfile" }
"""
LOOKUP = """
[[metadata.lookup]]
file = "operators.csv"
as = "operators"
key = "extension"
value = "name"
"""


@pytest.fixture
def read(settings, tmp_path):
    """The places of all tables and lookups, without the folder."""

    def run(toml, *files):
        flags = {"metadata": list(files)} if files else {}
        about = settings(flags, toml=toml).reading().rules.about
        specs = [*about.tables, *about.lookups]
        return [(each.file or str(each.database)).replace(f"{tmp_path}/", "") for each in specs]

    return run


def test_without_files_it_is_the_declared_ones(read):
    assert read(CSV + LOOKUP) == ["cdr.csv", "operators.csv"]


@pytest.mark.parametrize(
    ("toml", "files", "places"),
    [
        (CSV + LOOKUP, ["x/2026.csv"], ["x/2026.csv", "operators.csv"]),
        (CSV + LOOKUP, ["x/operators.csv"], ["cdr.csv", "x/operators.csv"]),
        (CSV + LOOKUP, ["x/operators.csv", "2026.csv"], ["2026.csv", "x/operators.csv"]),
        (LOOKUP, ["people.csv"], ["people.csv"]),
        (DATABASE + LOOKUP, ["x/copy.db"], ["sqlite:x/copy.db", "operators.csv"]),
        (DATABASE + LOOKUP, ["x/operators.csv"], ["sqlite:cdr.db", "x/operators.csv"]),
        (CSV, ["cdr*.csv"], ["cdr*.csv"]),
    ],
)
def test_a_file_is_that_of_its_name_or_the_only_table(read, toml, files, places):
    assert read(toml, *files) == places


@pytest.mark.parametrize(
    ("toml", "files", "problem"),
    [
        (CSV, ["one.csv", "two.csv"], "two.csv is another file of the same table"),
        (CSV, ["copy.db"], "nothing says how the rows of copy.db belong"),
        (
            CSV + CSV.replace("cdr.csv", 'b.csv"\nas = "b'),
            ["c.csv"],
            "c.csv may be any of 2 tables",
        ),
        ("", ["c.csv"], "nothing says how the rows of c.csv belong"),
    ],
)
def test_a_file_that_may_be_several_or_none_is_told(read, toml, files, problem):
    with pytest.raises(ConfigError) as caught:
        read(toml, *files)
    assert problem in caught.value.problem
