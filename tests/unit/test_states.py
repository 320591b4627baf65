"""One table of states: what is made of it, what holds the docs to it, and one more row."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import batch_uploader
from batch_uploader.core.errors import SinkError
from batch_uploader.core.states import UNDECIDED, Status
from batch_uploader.ledgers.sqlite import queries, schema

ROOT = Path(__file__).parents[2]
PACKAGE = Path(batch_uploader.__file__).parent
WORDS = {status.value for status in Status}


def documented() -> list[tuple[str, str, str]]:
    page = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
    table = page.partition("| state | what it means |")[2].partition("\n\n")[0]
    return re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \|$", table, re.MULTILINE)


def test_the_docs_have_the_table():
    rows = [(each.value, each.state.means, each.state.then) for each in Status]
    assert documented() == rows


def test_the_docs_of_events_name_each_state_of_an_outcome():
    page = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    named = re.search(r"`status` \((.*?)\)", page, re.DOTALL)[1]
    assert {*re.findall(r"`(\w+)`", named)} == WORDS - {"claimed"}


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        if path != PACKAGE / "core" / "states.py":
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def is_status(node):
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "Status"
    )


def test_no_other_module_has_a_set_of_states():
    """A state that is added to the table is in every set that it belongs to."""
    for path, tree in modules():
        sets = [node.elts for node in ast.walk(tree) if isinstance(node, ast.Set)]
        assert all(sum(map(is_status, each)) < 2 for each in sets), path


def test_no_other_module_spells_a_state():
    """But for the schema's history, and for words that mean something else."""
    others = {"transport.py": {"failed"}, "records.py": {"duplicate"}, "runs.py": {"failed"}}
    for path, tree in modules():
        texts = {each.value for each in ast.walk(tree) if isinstance(each, ast.Constant)}
        if path.name != "errors.py":
            assert not (texts & WORDS) - others.get(path.name, set()), path


def test_an_error_leaves_a_state_of_the_table():
    """It spells it, since the commands' help imports the errors and no table."""
    classes = [SinkError]
    for each in classes:
        classes += each.__subclasses__()
        assert Status(each.leaves) is not Status.CLAIMED


def test_the_index_of_doubts_holds_what_is_undecided():
    """An index of a ledger that is out there changes by a migration alone."""
    steps = [step for version in schema.MIGRATIONS for step in version]
    latest = [step for step in steps if "INDEX recordings_doubted" in step][-1]
    assert latest.endswith(f" WHERE {queries.among(UNDECIDED)}")


# One more state, in a copy of the package.

WITHOUT_A_ROW = '    HELD_BACK = ("held_back",)\n'
INCOMPLETE = """    HELD_BACK = (
        "held_back",
        State(means="like a call that is up", then="nothing", attention="look at both"),
    )
"""
UNSAFE = """    HELD_BACK = (
        "held_back",
        State(
            means="the service may hold it",
            then="nothing",
            stored=Stored.MAYBE,
            attention=None,
            unchanged=Decision(Action.UPLOAD, "it may be there"),
            forgotten=False,
        ),
    )
"""
UNFILTERED = UNSAFE.replace("Stored.MAYBE", "Stored.NO")
WHOLE = """    HELD_BACK = (
        "held_back",
        State(
            means="like a call that is up",
            then="nothing: `resolve` decides",
            stored=Stored.NO,
            attention="look at both, then decide",
            unchanged=Decision(Action.HOLD, "it looks like a call that is up"),
            other_rules=Decision(Action.UPLOAD, "it was held back under other rules"),
            verdicts=frozenset({Verdict.RESEND}),
            forgotten=True,
        ),
    )
"""


@pytest.fixture
def harness(tmp_path):
    """A copy of the package in which there is one more state."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "batch_uploader", ignore=ignored)

    def with_row(row: str) -> subprocess.CompletedProcess[str]:
        table = PACKAGE / "core" / "states.py"
        text = table.read_text(encoding="utf-8")
        before, last, after = text.partition("    DUPLICATE = (\n")
        copy = tmp_path / "batch_uploader" / "core" / "states.py"
        copy.write_text(before + row + last + after, encoding="utf-8")
        return subprocess.run(
            [sys.executable, ROOT / "tests" / "support" / "one_more_state.py", tmp_path],
            env={**os.environ, "PYTHONPATH": os.fspath(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )

    return with_row


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (WITHOUT_A_ROW, "TypeError: held_back has no row"),
        (INCOMPLETE, "TypeError: Missing required argument 'stored'"),
        (UNFILTERED, "ValueError: what is sent by itself may be left out by a filter"),
        (
            UNSAFE.replace("attention=None", "attention=None, filtered=True"),
            "ValueError: what the service may hold is not sent again",
        ),
    ],
)
def test_a_state_that_lacks_a_part_of_its_row_is_refused(row, complaint, harness):
    """Nothing runs before all is said of it that a default would be a guess for."""
    result = harness(row)
    assert result.returncode != 0
    assert complaint in result.stderr


def test_one_row_is_all_that_a_state_takes(harness, tmp_path):
    found = json.loads(harness(WHOLE).stdout)
    assert Path(found["package"]).is_relative_to(tmp_path)
    assert found["sets"] == [
        *("BY_RULES", "DECIDABLE", "FORGETTABLE", "FOUND_AGAIN", "LASTING", "NEEDS_ATTENTION"),
    ]
    assert found["resent"]
    assert found["queries"] == []
    assert found["decisions"] == ["hold", "upload", "upload"]
    assert found["recorded"] == ["held_back", "held_back"]
    (_fine, bad), lines = found["shown"]
    assert ["held back", 1] in bad
    assert "held back 1" in lines[1]
    assert any(line.startswith("held back  a.wav") for line in lines)


def test_what_may_be_stored_stands_for_its_content_and_is_recorded_after_a_claim_alone(harness):
    row = WHOLE.replace("Stored.NO", "Stored.MAYBE").replace("forgotten=True", "forgotten=False")
    found = json.loads(harness(row).stdout)
    assert "it is unseen and was not claimed" in found["recorded"]
    assert "SELECT_STORED" in found["queries"]
    assert {"MAYBE_STORED", "STANDING", "UNDECIDED", "UNRESOLVED"} < {*found["sets"]}
