"""Makes metadata of all that describes a recording, with the origin of each value."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from batch_uploader.core.errors import SourceError, SourceGone
from batch_uploader.core.model import (
    ROW_MISSING,
    SIDECAR_MISSING,
    Defect,
    Entry,
    Listing,
    Metadata,
)
from batch_uploader.core.naming import base_name, stem
from batch_uploader.core.ports import Source
from batch_uploader.core.text import plural
from batch_uploader.core.zones import time_zone
from batch_uploader.prepare.about import functions
from batch_uploader.prepare.about.alltables import Said, Tables
from batch_uploader.prepare.about.fields import REQUIRED, Fields, MadeMetadata
from batch_uploader.prepare.about.foreign import SidecarReader, tags
from batch_uploader.prepare.about.foreign.gathering import gather, sidecars_of, version_of_more
from batch_uploader.prepare.about.mapping import MISSING, FieldMap, Scope
from batch_uploader.prepare.about.names import NamePattern
from batch_uploader.prepare.about.rules import FILE, NAME, SIDECAR, TAGS, MetadataRules
from batch_uploader.prepare.about.tables.spec import TableSpec
from batch_uploader.prepare.about.values import Values, version
from batch_uploader.prepare.bundle import Bundle, bundle_of
from batch_uploader.prepare.describer import NOTHING, UnusableRows
from batch_uploader.prepare.legs.pattern import LegPlace
from batch_uploader.prepare.legs.rules import LegRules
from batch_uploader.prepare.pairing import Orphan, names_of
from batch_uploader.prepare.reading import explaining, read_small, user_path
from batch_uploader.prepare.sidecar import Schema


class Explained(Struct, frozen=True):
    """What becomes of a recording's metadata: for people who look for a mistake.

    ``said`` is what each source says, ``fields`` have value and origin of each field, ``defects``
    what is wrong.
    """

    said: tuple[Values, ...]
    fields: tuple[tuple[str, str, str], ...]
    defects: tuple[Defect, ...]


class _Gathered(Struct, frozen=True):
    """What sources say about a recording; ``own`` is its sidecar in our own form.

    ``absent`` says why a source says nothing, ``defect`` why it cannot do without.
    """

    said: tuple[Values, ...]
    own: Values | None
    absent: Mapping[str, str]


class ManySources:
    """Describes recordings by sidecars of any form, tables, names and tags: a ``Describer``.

    Unless ``optional``, each needs a row or a sidecar where there are tables or sidecars. Raises
    ConfigError.
    """

    def __init__(
        self,
        source: Source,
        schema: Schema,
        rules: MetadataRules,
        *,
        ids: frozenset[str] = frozenset(),
        legs: LegRules | None = None,
        optional: bool = False,
        folder: Path | None = None,
        keep: bool = True,
    ) -> None:
        self._source = source
        self._rules = rules
        self._optional = optional
        self._pattern = None if rules.names is None else NamePattern.parse(rules.names)
        where = None if rules.timezone is None else time_zone(rules.timezone)
        self._tables = Tables(source, rules, folder, functions.of(where, {}), keep=keep, legs=legs)
        known = functions.of(where, self._tables.lookups)
        mapped = FieldMap(rules.map, rules.sources, known)
        self._fields = Fields(schema, mapped, functions.TimeFunctions(where), ids)
        self._reader = SidecarReader(
            lambda entry, limit: read_small(source, entry, limit),
            lambda path: user_path(source, path),
        )
        used = {path[0] for target in mapped.targets for path in mapped.uses(target)}
        self._knows_all = not self._tables
        self._reads_tags = TAGS in rules.in_order or TAGS in used

    def refresh(self, seen: str) -> None:
        """Bring the tables up to date. Blocking. Raises ConfigError, SourceError."""
        try:
            self._tables.refresh(seen)
            self._knows_all = not self._tables
        except OSError as error:
            raise SourceError(
                f"the tables of the settings cannot be read ({error.strerror})",
                hint="check the disk and the modes of their files",
            ) from error

    @property
    def state(self) -> str:
        """What the tables were, to tell later what has changed since."""
        return self._tables.state

    @property
    def knows_all(self) -> bool:
        """Whether all were announced, or there are no tables: no two may get one row."""
        return self._knows_all

    def announce(self, listings: Sequence[Listing], *, last: bool) -> None:
        """Remember the recordings of folders. Blocking. Raises SourceError."""
        is_audio = self._source.is_audio
        self._tables.announce(
            each for one in listings for each in one.entries if is_audio(each.path)
        )
        self._knows_all = self._knows_all or last

    def leg_of(self, path: str, is_audio: Callable[[str], bool]) -> LegPlace | None:
        """Of which call a file is a leg, by a table. Blocking. Raises SourceError."""
        return self._tables.leg(path, is_audio)

    def close(self) -> None:
        """Close the tables."""
        self._tables.close()

    def faults(self) -> UnusableRows:
        """The rows of tables that cannot be used."""
        return self._tables.faults()

    def gather(
        self,
        listing: Listing,
        is_audio: Callable[[str], bool],
        at_rest: Mapping[str, bytes | None] = NOTHING,
    ) -> tuple[list[Bundle], list[Orphan]]:
        """Pair recordings and sidecars by name, those of other systems included."""
        bundles, orphans = gather(listing, is_audio, self._rules.sidecars)
        kept = {
            each.path: at_rest[each.path]
            for each in bundles
            if not each.about and all(map(self._tables.is_untouched, names_of(each.audio)))
            if at_rest.get(each.path) is not None
        }
        if not self._knows_all:
            self._tables.announce(each.audio for each in bundles if each.path not in kept)
        whole = [
            replace(each, about_version=kept[each.path])
            if each.path in kept
            else self._with_version(each, at_rest=each.path in at_rest)
            for each in bundles
        ]
        return whole, orphans

    def find(self, audio: Entry, sidecar: str | None) -> Bundle:
        """The same for one file. Blocking. Raises SourceError."""
        folder, slash, name = audio.path.rpartition("/")
        about = [] if sidecar is None else [self._source.stat(f"{folder}{slash}{sidecar}")]
        for each in self._rules.sidecars:
            if (other := each.beside(name)) != sidecar:
                with suppress(SourceGone):
                    about.append(self._source.stat(f"{folder}{slash}{other}"))
        bundle = replace(bundle_of(audio), about=tuple(about))
        return self._with_version(bundle, at_rest=True)

    def _with_version(self, bundle: Bundle, *, at_rest: bool) -> Bundle:
        """The bundle with a digest of its rows, and of its sidecars but the first."""
        more = version_of_more(bundle.about)
        # What is at rest has its row, whoever else might want it.
        found = self._rows_of(bundle, alone=not at_rest)
        rows = [_as_values(said) for _, said in found if said is not None]
        if not rows:
            return bundle if more is None else replace(bundle, about_version=more)
        others = [] if more is None else [Values("more", {"digest": more.hex()}, "")]
        return replace(bundle, about_version=version([*rows, *others]))

    def _rows_of(self, bundle: Bundle, *, alone: bool = True) -> list[tuple[TableSpec, Said]]:
        """What each table says; of a call by its name, or else by that of a leg, or of its mix."""
        found = self._tables.rows_of(bundle.path, alone=alone)
        for path in names_of(bundle.audio)[1:]:
            if all(said is not None for _, said in found):
                break
            others = self._tables.rows_of(path, alone=alone)
            found = [
                (spec, other if said is None else said)
                for (spec, said), (_, other) in zip(found, others, strict=True)
            ]
        return found

    def settled(self, listing: Listing) -> bool:
        """Whether neither rows nor further sidecars can have changed."""
        if any(each.of_folder for each in self._rules.sidecars) or len(self._rules.sidecars) > 1:
            return False
        return not self._tables or self._tables.is_settled(listing.folder)

    def describe(self, bundle: Bundle) -> Metadata | tuple[Defect, ...]:
        """The metadata of all sources, or all defects. Blocking. Raises SourceError."""
        gathered = self._gathered(bundle)
        if isinstance(gathered, tuple):
            return gathered
        return self._made(bundle, gathered).metadata

    def describe_cached(self, bundle: Bundle) -> Metadata | tuple[Defect, ...] | None:
        """The same if nothing has to be read: if only names describe it."""
        if bundle.about or self._tables or self._reads_tags:
            return None
        return self.describe(bundle)

    def explain(self, bundle: Bundle) -> Explained:
        """What each source says, and what is made of it. Blocking. Raises SourceError."""
        gathered = self._gathered(bundle)
        if isinstance(gathered, tuple):
            return Explained((), (), gathered)
        made = self._made(bundle, gathered)
        if isinstance(made.metadata, tuple):
            return Explained(gathered.said, (), made.metadata)
        fields = (
            (name, text, made.origins.get(name, "")) for name, text in made.metadata.fields.items()
        )
        return Explained(gathered.said, tuple(fields), ())

    def _made(self, bundle: Bundle, gathered: _Gathered) -> MadeMetadata:
        scope = Scope(gathered.said, self._rules.in_order, gathered.absent)
        own = bundle.sidecar if gathered.own is not None else None
        made = self._fields.make(own.path if own else bundle.path, scope, gathered.own)
        if isinstance(made.metadata, Metadata) and not self._lacks_all(gathered):
            return made
        lacking = self._lacking(bundle, gathered)
        if lacking is None:
            return made
        if isinstance(made.metadata, Metadata):
            return MadeMetadata((lacking,), made.origins)
        # One cause need not be told for each field.
        rest = [each for each in made.metadata if each.kind not in {MISSING, REQUIRED}]
        if len(rest) == len(made.metadata) and not self._lacks_all(gathered):
            return made
        return MadeMetadata((lacking, *rest), made.origins)

    def _lacks_all(self, gathered: _Gathered) -> bool:
        """Whether it has neither row nor sidecar, and needs one."""
        if self._optional or not self._needs_more_than_a_name():
            return False
        said = {each.source for each in gathered.said}
        return not said & {SIDECAR, *self._rules.table_names}

    def _needs_more_than_a_name(self) -> bool:
        rules = self._rules
        return bool(rules.tables or rules.sidecars or rules.names is None)

    def _lacking(self, bundle: Bundle, gathered: _Gathered) -> Defect | None:
        """The defect of a recording that a source should describe and does not."""
        for table in self._rules.tables:
            if table.source in gathered.absent:
                return Defect(
                    bundle.path,
                    ROW_MISSING,
                    gathered.absent[table.source],
                    "add its row, or correct how rows are matched ([[metadata.table]])",
                )
        if SIDECAR in gathered.absent and (self._rules.sidecars or self._lacks_all(gathered)):
            name, path = stem(bundle.path), bundle.path
            cure = f"write its metadata to {name}.json or {path}.json"
            if bundle.sidecar is not None:
                cure = "add its record there, or correct match in [[metadata.sidecar]]"
            elif self._rules.sidecars:
                names = (each.beside(base_name(path)) for each in self._rules.sidecars)
                cure = f"write {' or '.join(names)} beside it"
            return Defect(path, SIDECAR_MISSING, gathered.absent[SIDECAR], cure)
        if NAME in gathered.absent:
            return Defect(
                bundle.path,
                "name-unfit",
                gathered.absent[NAME],
                "correct the pattern, or leave such files out with --exclude",
            )
        return None

    def _gathered(self, bundle: Bundle) -> _Gathered | tuple[Defect, ...]:
        absent: dict[str, str] = {}
        sidecars = self._sidecars(bundle)
        if isinstance(sidecars, tuple):
            return sidecars
        said, own = sidecars.said, sidecars.own
        if not said:
            absent[SIDECAR] = _without_sidecar(bundle)
        wrong: list[Defect] = []
        for table, row in self._rows_of(bundle):
            if isinstance(row, Values):
                said.append(row)
            elif row is None:
                absent[table.source] = self._without_row(table)
            else:
                wrong += row
        named = self._named(bundle)
        if named is not None:
            said.append(named)
        elif self._pattern is not None:
            absent[NAME] = "its name does not fit the pattern of names"
        tagged = self._tagged(bundle) if self._reads_tags else None
        if tagged is not None:
            said.append(tagged)
        else:
            absent[TAGS] = "it has no tags"
        said.append(_file(bundle))
        return tuple(wrong) or _Gathered(tuple(said), own, absent)

    def _without_row(self, table: TableSpec) -> str:
        unusable = self._tables.unusable(table)
        but = f", but {plural(unusable, 'row')} of it cannot be used" if unusable else ""
        return f"no row of {_shown(table)} is about it{but}"

    def _sidecars(self, bundle: Bundle) -> "_Sidecars | tuple[Defect, ...]":
        said: list[Values] = []
        own: Values | None = None
        wrong: list[Defect] = []
        for each in sidecars_of(bundle, self._rules.sidecars):
            found = self._reader.values(bundle.path, [each])
            if isinstance(found, tuple):
                wrong += found
                continue
            said += found
            if each.declared not in self._rules.sidecars and found:
                own = found[0]
        return tuple(wrong) or _Sidecars(said, own)

    def _named(self, bundle: Bundle) -> Values | None:
        """What its name says, or else that of a leg."""
        if self._pattern is None:
            return None
        found = map(self._pattern.values, names_of(bundle.audio))
        return next((each for each in found if each is not None), None)

    def _tagged(self, bundle: Bundle) -> Values | None:
        audio = bundle.parts[0]
        with explaining(audio.path), self._source.open(audio.path) as handle:
            return tags.read(handle, audio.size)


def _as_values(said: Values | tuple[Defect, ...]) -> Values:
    """What a table says, for a digest; defects count, so that other ones are told."""
    if isinstance(said, Values):
        return said
    return Values("defects", {"defects": [each.message for each in said]}, "")


class _Sidecars(Struct, frozen=True):
    """What sidecars say, and which of it is the sidecar in our own form."""

    said: list[Values]
    own: Values | None


def _shown(table: TableSpec) -> str:
    return table.source if table.file is None else Path(table.file).name


def _without_sidecar(bundle: Bundle) -> str:
    """Why no sidecar says anything: one for the whole folder may have no record of it."""
    if bundle.sidecar is None:
        return "it has no sidecar"
    return f"no record of {bundle.sidecar.path.rpartition('/')[2]} is about it"


def _file(bundle: Bundle) -> Values:
    """What the file system says; only by name, so that no column is mistaken for it."""
    audio = bundle.audio
    folder, _, name = bundle.path.rpartition("/")
    return Values(
        FILE,
        {
            "path": bundle.path,
            "name": name,
            "stem": stem(name),
            "folder": folder,
            "size": audio.size,
            "mtime": audio.mtime_ns // 1_000_000_000,
        },
        "the file",
    )
