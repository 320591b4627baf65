"""What describes a recording, from several sources: what counts, what is missing, what changes."""

import json
import os

import pytest
from anyio import to_thread
from hypothesis import given
from hypothesis import strategies as st

import batch_uploader
from batch_uploader.core.errors import ConfigError
from batch_uploader.core.model import Metadata
from batch_uploader.prepare.about import functions
from batch_uploader.prepare.about.describer import ManySources
from batch_uploader.prepare.about.fields import Fields
from batch_uploader.prepare.about.foreign import DeclaredSidecar
from batch_uploader.prepare.about.mapping import FieldMap, Scope
from batch_uploader.prepare.about.rules import MetadataRules
from batch_uploader.prepare.about.tables.spec import RowMatch, TableSpec
from batch_uploader.prepare.about.values import Values
from batch_uploader.prepare.sidecar import FieldType, Kind, Schema
from batch_uploader.sources.directory import DirectorySource

pytestmark = pytest.mark.anyio
TABLE = TableSpec(RowMatch(column="file", by="name"), file="")
SCHEMA = Schema(
    {"language": "ru-RU"}, types={"date": FieldType.DATE, "outgoing": FieldType.BOOLEAN}
)


@pytest.fixture
def archive(tmp_path):
    """Writes files, and describes the recordings by rules."""

    class Archive:
        folder = tmp_path / "calls"
        table = tmp_path / "cdr.csv"

        def put(self, name, content=""):
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if isinstance(content, str) else json.dumps(content))
            os.utime(path, (1_700_000_000, 1_700_000_000))

        def spec(self, rows):
            self.table.write_text("file,src,more\n" + rows)
            return TableSpec(TABLE.match, file=str(self.table))

        async def described(self, rules, schema=SCHEMA, seen="", at_rest=None, **how):
            """Metadata or defects by path, the versions, and the describer's state."""
            with DirectorySource(self.folder, sidecars=rules.sidecar_patterns) as source:
                listings = [each async for each in source.entries()]
                many = ManySources(source, schema, rules, folder=tmp_path / "index", **how)
                await to_thread.run_sync(many.refresh, seen)
                found, versions = {}, {}
                for listing in listings:
                    bundles, orphans = many.gather(listing, source.is_audio, at_rest or {})
                    for each in bundles:
                        found[each.path] = many.describe(each)
                        versions[each.path] = each.about_version
                        if at_rest is None:
                            again = many.find(each.audio, _first(each))
                            assert again.about_version == versions[each.path]
                    found.update((each.entry.path, (each.defect,)) for each in orphans)
                self.settled = {each.folder: many.settled(each) for each in listings}
                self.state = many.state
                many.close()
            self.versions = versions
            return found

    made = Archive()
    made.folder.mkdir()
    return made


def _first(bundle):
    return bundle.about[0].path.rpartition("/")[2] if bundle.about else None


def kinds(defects):
    return [each.kind for each in defects]


async def test_a_sidecar_of_our_own_keeps_what_is_not_mapped(archive):
    archive.put("a.wav")
    archive.put("a.json", {"ticket": "7", "date": "2026-03-27 09:25:17", "language": "de-DE"})
    rules = MetadataRules(timezone="Europe/Moscow", map={"ticket": "'T' ~ ticket", "x": "''"})
    found = await archive.described(rules)
    assert found["a.wav"] == Metadata(
        {"ticket": "T7", "date": "2026-03-27T09:25:17+03:00", "language": "de-DE"}
    )


async def test_the_full_form_keeps_its_users(archive):
    archive.put("a.wav")
    user = {"id": "1", "role": "operator", "fields": {"n": 1.50}}
    archive.put("a.json", {"fields": {"date": "2026-03-27T09:25:17Z"}, "users": [user]})
    found = (await archive.described(MetadataRules(map={"n": "'1'"})))["a.wav"]
    assert found.fields == {"date": "2026-03-27T09:25:17Z", "language": "ru-RU", "n": "1"}
    assert found.users[0].fields == {"n": "1.5"}
    assert found.defaulted == {"language", "n"}


async def test_of_a_nested_sidecar_only_what_is_named_counts(archive):
    archive.put("a.wav")
    archive.put("a.json", {"agent": {"id": 5}, "freq": 1, "outgoing": 1, "date": None})
    found = await archive.described(MetadataRules(map={"operator": "agent.id"}))
    assert found["a.wav"].fields == {"operator": "5", "outgoing": "true", "language": "ru-RU"}


async def test_what_is_wrong_in_a_sidecar_stays_wrong(archive):
    for name, text in {"a": '{"x": null}', "b": "{", "c": '{"x": 1, "x": 2}', "d": "[1]"}.items():
        archive.put(f"{name}.wav")
        archive.put(f"{name}.json", text)
    found = await archive.described(MetadataRules(map={"y": "'1'"}))
    assert [kinds(found[f"{name}.wav"]) for name in "abcd"] == [
        *(["sidecar-null"], ["sidecar-json"], ["sidecar-duplicate-key"], ["sidecar-records"])
    ]
    assert {each.path for defects in found.values() for each in defects} == {
        *("a.json", "b.json", "c.json", "d.json")
    }


async def test_one_missing_source_is_one_defect(archive):
    for name in ("a.wav", "b.wav"):
        archive.put(name)
    rules = MetadataRules(
        tables=(archive.spec("a.wav,1,2\n"),),
        map={"one": "src", "two": "more", "three": "table.src | phone"},
    )
    found = await archive.described(rules)
    assert found["a.wav"].fields == {"one": "1", "two": "2", "three": "1", "language": "ru-RU"}
    assert kinds(found["b.wav"]) == ["row-missing"]
    assert found["b.wav"][0].message == "no row of cdr.csv is about it"


async def test_a_recording_without_a_row_is_a_defect_even_if_all_has_defaults(archive):
    archive.put("b.wav")
    rules = MetadataRules(tables=(archive.spec(""),), map={"one": "src | default('-')"})
    assert kinds((await archive.described(rules))["b.wav"]) == ["row-missing"]
    optional = await archive.described(rules, optional=True)
    assert optional["b.wav"].fields == {"one": "-", "language": "ru-RU"}


async def test_a_wrong_column_is_told_though_the_row_is_there(archive):
    archive.put("a.wav")
    rules = MetadataRules(tables=(archive.spec("a.wav,1,2\n"),), map={"one": "scr"})
    [defect] = (await archive.described(rules))["a.wav"]
    assert (defect.kind, defect.field) == ("metadata-missing", "one")
    assert "table has file, src, more" in defect.message


async def test_a_required_field_that_nothing_gives_is_told_once(archive):
    archive.put("a.wav")
    rules = MetadataRules(
        tables=(archive.spec("a.wav,,2\n"),), map={"operator_id": "src", "client_id": "more | time"}
    )
    schema = Schema(required=frozenset({"operator_id", "client_id", "date"}))
    found = (await archive.described(rules, schema))["a.wav"]
    assert {each.field: each.kind for each in found} == {
        "operator_id": "metadata-required",
        "client_id": "metadata-value",
        "date": "metadata-required",
    }
    assert "its expression gives nothing (src of cdr.csv, line 2)" in [
        each.message for each in found
    ]


async def test_names_alone_need_no_sidecar_and_a_declared_one_is_needed(archive):
    archive.put("5-a.wav")
    archive.put("x.wav")
    named = MetadataRules(names=r"(?P<id>\d)-.*", map={"id": "id"})
    found = await archive.described(named)
    assert found["5-a.wav"].fields["id"] == "5"
    assert kinds(found["x.wav"]) == ["name-unfit"]
    declared = MetadataRules(
        names=r"(?P<id>\d)-.*", sidecars=(DeclaredSidecar("{stem}.xml"),), map={"id": "id"}
    )
    found = await archive.described(declared)
    assert kinds(found["5-a.wav"]) == ["sidecar-missing"]
    assert kinds((await archive.described(MetadataRules(map={"id": "'1'"})))["x.wav"]) == [
        "sidecar-missing"
    ]


async def test_what_tells_calls_apart_need_not_be_sent(archive):
    archive.put("5-a.wav")
    rules = MetadataRules(
        names=r"(?P<id>\d)-.*", tables=(archive.spec("5-a.wav,1,2\n"),), map={"x": "src"}
    )
    ids = frozenset({"id", "table.more", "file.stem", "nothing"})
    found = (await archive.described(rules, ids=ids))["5-a.wav"]
    assert found.ids == {"id": "5", "table.more": "2", "file.stem": "5-a"}
    assert found.fields == {"x": "1", "language": "ru-RU"}


async def test_the_version_is_that_of_the_row_and_of_more_sidecars(archive):
    for name in ("a.wav", "b.wav", "c.wav", "c.xml"):
        archive.put(name, "<x/>")
    xml = DeclaredSidecar("{stem}.xml")
    rules = MetadataRules(tables=(archive.spec("a.wav,1,2\nb.wav,3,4\n"),), sidecars=(xml,))
    await archive.described(rules)
    before = archive.versions
    assert before["c.wav"] is None
    archive.spec("x.wav,0,0\nb.wav,3,4\na.wav,1,5\n")
    await archive.described(rules)
    assert archive.versions["b.wav"] == before["b.wav"]
    assert archive.versions["a.wav"] != before["a.wav"]


async def test_a_folder_is_settled_unless_a_row_of_its_recordings_has_changed(archive):
    for name in ("one/a.wav", "two/b.wav"):
        archive.put(name)
    rules = MetadataRules(tables=(archive.spec("a.wav,1,2\nb.wav,3,4\n"),), map={"x": "src"})
    await archive.described(rules)
    assert not archive.settled["one"]
    await archive.described(rules, seen=archive.state)
    assert archive.settled == {"": True, "one": True, "two": True}
    with archive.table.open("a") as file:
        file.write("c.wav,5,6\nb.wav,7,8\n")
    await archive.described(rules, seen=archive.state)
    assert archive.settled == {"": True, "one": True, "two": False}


async def test_of_a_touched_folder_only_what_is_touched_is_looked_up(archive):
    for name in ("a.wav", "b.wav", "c.wav", "new.wav"):
        archive.put(name)
    rules = MetadataRules(
        tables=(archive.spec("a.wav,1,2\nb.wav,3,4\nc.wav,5,6\nnew.wav,7,8\n"),), map={"x": "src"}
    )
    await archive.described(rules)
    before = archive.versions
    text = archive.table.read_text()
    archive.table.write_text(text.replace("b.wav,3", "b.wav,0"))
    recorded = {"a.wav": b"as recorded", "b.wav": b"as recorded", "c.wav": None}
    await archive.described(rules, seen=archive.state, at_rest=recorded)
    assert archive.versions["a.wav"] == b"as recorded"
    assert archive.versions["b.wav"] not in {b"as recorded", before["b.wav"]}
    assert archive.versions["c.wav"] == before["c.wav"]
    assert archive.versions["new.wav"] == before["new.wav"]
    # What was read is not known any more: all is looked up.
    await archive.described(rules, seen="", at_rest=recorded)
    assert archive.versions["a.wav"] == before["a.wav"]


async def test_a_file_for_a_folder_is_never_settled(archive):
    archive.put("a.wav")
    rules = MetadataRules(sidecars=(DeclaredSidecar("all.json", records="r", match="f"),))
    await archive.described(rules)
    assert archive.settled == {"": False}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.datetimes(),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=4,
)
NAMES = st.sampled_from(["date", "direction_outgoing", "client_id", "fields", "users", "x", ""])
MAPPED = FieldMap(
    {"operator_id": "x", "y": "client_id | phone"}, ("sidecar",), functions.of(None, {})
)


@given(st.dictionaries(NAMES | st.text(max_size=5), VALUES), st.booleans())
def test_any_values_become_metadata_or_defects(values, own):
    said = Values("sidecar", values, "x.json")
    fields = Fields(Schema.for_kind(Kind.TWO_CHANNEL), MAPPED, functions.TimeFunctions(None))
    made = fields.make("x.wav", Scope([said], ("sidecar",), {}), said if own else None)
    if isinstance(made.metadata, Metadata):
        assert all(isinstance(text, str) for text in made.metadata.fields.values())
    else:
        assert made.metadata
        assert all(each.cure for each in made.metadata)


async def test_programs_have_what_the_settings_have(archive):
    archive.put("a.wav")
    archive.spec("a.wav,79001234567,x\n")
    rules = batch_uploader.Rules(
        about=batch_uploader.MetadataRules(
            tables=(
                batch_uploader.TableSpec(
                    batch_uploader.RowMatch(column="file", by="stem"), file=str(archive.table)
                ),
            ),
            map={"client_id": "src"},
        ),
        call_ids=batch_uploader.CallIds(frozenset({"more"})),
    )
    seen = []
    await batch_uploader.check_directory(archive.folder, rules=rules, listeners=[seen.append])
    assert [defect.kind for each in seen for defect in each.defects] == ["empty"]


@pytest.mark.parametrize(
    ("match", "names", "told"),
    [
        ({"column": "id", "with": "pth"}, None, "with is 'pth', .*no pattern"),
        ({"column": "id", "with": "uid"}, "(?P<id>.*)", "with is 'uid', .*names has id"),
        ({"number": ["src"], "time": "start"}, "(?P<client>.*)", "name_time is 'start', .*client"),
        (
            {"number": ["src"], "time": "start", "name_number": "tel"},
            "(?P<client>.*)_(?P<start>.*)",
            "name_number is 'tel', .*names has client, start",
        ),
    ],
)
def test_rows_found_by_a_group_that_names_do_not_have_are_an_error(match, names, told):
    table = TableSpec.of({"file": "cdr.csv", "match": match})
    with pytest.raises(ConfigError, match=told):
        MetadataRules(names=names, tables=(table,))
