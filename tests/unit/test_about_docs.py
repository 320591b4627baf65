"""docs/metadata.md is true: each example is run, and each function has one."""

import json
import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from batch_uploader.prepare.about import functions
from batch_uploader.prepare.about.mapping import FieldMap, Scope
from batch_uploader.prepare.about.rules import MetadataRules
from batch_uploader.prepare.about.values import Values
from batch_uploader.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "metadata.md").read_text("utf-8")
BLOCKS = re.findall(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
EXAMPLES = [line for block in BLOCKS for line in block.splitlines()]
KNOWN = functions.of(ZoneInfo("Europe/Moscow"), {"operators": {"204": "Anna"}.get})


@pytest.mark.parametrize("line", EXAMPLES)
def test_each_example_gives_what_it_says(line):
    expression, given, result = re.fullmatch(r"(.*?)\s+# (?:(.*) )?-> (.*)", line).groups()
    assignments = [each.split(" = ", 1) for each in (given or "").split("; ") if each]
    fields = {name: json.loads(value) for name, value in assignments}
    rules = MetadataRules()
    mapped = FieldMap({"x": expression}, rules.sources, KNOWN)
    scope = Scope([Values("sidecar", fields, "x.json")], rules.in_order, {})
    assert mapped.make("x", scope).text == result


def test_each_function_has_an_example():
    used = {word for line in EXAMPLES for word in re.findall(r"\w+", line.partition("#")[0])}
    assert used >= KNOWN.keys()


def test_the_settings_that_it_shows_are_settings(tmp_path):
    shown = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(shown) == 4
    for number, block in enumerate(shown):
        file = tmp_path / f"{number}.toml"
        file.write_text(block, "utf-8")
        about = Settings(tmp_path, {"config": file}, {}, tmp_path).reading().rules.about
        assert about.map or about.sidecars or about.tables


def test_the_sources_that_it_lists_are_all():
    table = PAGE.partition("## Sources")[2].partition("\n\n**Sidecars")[0]
    listed = set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE))
    assert listed == MetadataRules().sources | {"table"}
