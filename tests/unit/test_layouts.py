"""The ready-made layouts: each has its archive, is commented, and fits the names there."""

import re
from pathlib import Path

import pytest
from support.archives import MAKERS, make

from batch_uploader import layouts
from batch_uploader.core.errors import ConfigError
from batch_uploader.prepare.about.names import NamePattern
from batch_uploader.prepare.sidecar.schema import Kind, Schema


def test_there_is_a_made_up_archive_for_each_layout():
    assert set(layouts.names()) == set(MAKERS)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("freepbxx", "freepbx"), ("Issabel", "freepbx"), ("beeline", "megafon"), ("oreka", "orecx")],
)
def test_an_unknown_layout_is_told_with_what_is_meant(name, meant):
    with pytest.raises(ConfigError) as caught:
        layouts.load(name)
    assert caught.value.hints[0].startswith(f"did you mean {meant} (")


def test_an_unknown_layout_is_told_with_all_that_are_known():
    with pytest.raises(ConfigError) as caught:
        layouts.load("x")
    assert caught.value.hints == (f"the layouts are {', '.join(layouts.names())}",)


@pytest.mark.parametrize("name", layouts.names())
def test_each_layout_says_what_it_is_for_and_makes_all_fields(name):
    layout = layouts.load(name)
    assert layout.text.startswith(f"# {layout.title}\n#\n# ")
    assert layout.settings["call-id"]
    mapped = {name for name in layout.settings["metadata"]["map"] if not name.startswith("_")}
    made = mapped | layout.settings.get("defaults", {}).keys()
    assert made == Schema.for_kind(Kind.TWO_CHANNEL).required


NAMED = [name for name in MAKERS if "names" in layouts.load(name).settings["metadata"]]


@pytest.mark.parametrize("name", NAMED)
def test_its_pattern_fits_the_names_of_its_archive(name, tmp_path):
    pattern = NamePattern.parse(layouts.load(name).settings["metadata"]["names"])
    for path in make(name, tmp_path).talks:
        assert pattern.values(path), path


def test_the_docs_have_each_layout():
    text = (Path(__file__).parents[2] / "docs" / "layouts.md").read_text("utf-8")
    assert re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE) == list(MAKERS)
