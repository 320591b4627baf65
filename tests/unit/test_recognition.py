"""Which layout an archive is recognised as, by names, sidecars and tables."""

import anyio
import pytest
from support import archives

from batch_uploader import layouts
from batch_uploader.app.init.heads import head_of
from batch_uploader.app.init.recognition import LIKELY, SURE, Beside, Head, Seen, recognise
from batch_uploader.app.init.survey import survey

LAYOUTS = [layouts.load(name) for name in layouts.names()]


def recognised(made, heads):
    found = anyio.run(survey, made.root, LAYOUTS, heads)
    return recognise(found.seen, LAYOUTS)


@pytest.mark.parametrize("name", sorted(archives.MAKERS))
def test_an_archive_with_its_tables_is_recognised_as_what_it_is(tmp_path, name):
    made = archives.make(name, tmp_path, 60)
    best, *others = recognised(made, [head_of(path, str(path)) for path in made.tables.values()])
    assert best.layout.name == name
    assert best.score >= SURE
    assert not best.lacks
    assert all(each.score < best.score for each in others)
    metadata = best.layout.settings["metadata"]
    needed = [*metadata.get("table", []), *metadata.get("lookup", [])]
    assert len(best.files) == len(needed)
    assert set(best.files.values()) <= set(map(str, made.tables.values()))


UNNAMED = {"bitrix24", "fusionpbx", "mango", "uis"}
"""Their recordings are named by an ID that others have as well, so only a table tells them."""


@pytest.mark.parametrize("name", sorted(archives.MAKERS))
def test_without_tables_it_is_recognised_by_names_and_sidecars_if_these_are_its_own(tmp_path, name):
    made = archives.make(name, tmp_path, 60)
    fits = recognised(made, [])
    if name in UNNAMED:
        assert all(each.score < SURE for each in fits)
        return
    assert fits[0].layout.name == name
    assert fits[0].evidence
    tables = layouts.load(name).settings["metadata"].get("table", [])
    assert len(fits[0].lacks) == len(tables)


@pytest.mark.parametrize(
    "paths",
    [
        ("call.wav", "Anna 2.wav"),
        ("2026/03/27/1.mp3", "2026/03/27/2.mp3"),
        ("0f1e2d3c-4b5a-4968-8776-655443322111.wav",),
        (),
    ],
)
def test_names_that_say_nothing_are_not_recognised(paths):
    assert recognise(Seen(paths), LAYOUTS) == []


def test_a_table_without_the_columns_is_no_evidence():
    paths = ("1774592717.512.wav", "204-1774592718.513.wav")
    own = Head("cdr.csv", ("date", "who", "file"), 3)
    best, *_ = recognise(Seen(paths, tables=(own,)), LAYOUTS)
    assert best.layout.name == "asterisk"
    assert best.score < SURE
    assert not best.files


def test_sidecars_are_compared_by_their_fields():
    paths = ("13-1700000000_769000000.wav",)
    name = "trunk-recorder"
    used = {"start_time", "srcList", "talkgroup", "talkgroup_tag"}
    whole = Seen(paths, {name: Beside(1.0, frozenset(used | {"freq"}))})
    assert recognise(whole, LAYOUTS)[0].layout.name == name
    other = Seen(paths, {name: Beside(1.0, frozenset({"agent", "client"}))})
    assert recognise(other, LAYOUTS) == []
    few = Seen(paths, {name: Beside(LIKELY / 2, frozenset(used))})
    assert recognise(few, LAYOUTS) == []
