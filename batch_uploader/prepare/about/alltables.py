"""The tables of the settings: brought up to date before a run, asked for rows during it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import json
from msgspec.structs import replace

from batch_uploader.core.errors import ConfigError, SourceError
from batch_uploader.core.model import Defect, Entry
from batch_uploader.core.ports import Source
from batch_uploader.prepare.about.expressions import AbsentValue, Language
from batch_uploader.prepare.about.functions import Lookup as LookupFunction
from batch_uploader.prepare.about.legs import TableLegs
from batch_uploader.prepare.about.lookups import LookupTable
from batch_uploader.prepare.about.names import NamePattern
from batch_uploader.prepare.about.rules import MetadataRules
from batch_uploader.prepare.about.tables.choose import Condition
from batch_uploader.prepare.about.tables.match import WantedRows
from batch_uploader.prepare.about.tables.recordings import Recordings, recordings_path
from batch_uploader.prepare.about.tables.sharing import Rivals
from batch_uploader.prepare.about.tables.spec import TableSpec
from batch_uploader.prepare.about.tables.table import Table
from batch_uploader.prepare.about.values import Unfit, Values
from batch_uploader.prepare.describer import UnusableRows
from batch_uploader.prepare.legs.pattern import LegPlace
from batch_uploader.prepare.legs.rules import LegRules
from batch_uploader.prepare.pairing import names_of

Said = Values | tuple[Defect, ...] | None
"""What a table says of a recording; None if it has no row of it."""


class Tables:
    """The tables and second tables of the settings.

    ``folder`` is for their indexes; without one they are temporary, and unless it is to ``keep``
    them they are copies of those in it. ``known`` are the functions of the conditions that choose
    among rows. Blocking; threads may ask at the same time.
    """

    def __init__(
        self,
        source: Source,
        rules: MetadataRules,
        folder: Path | None,
        known: Mapping[str, Callable[..., object]],
        *,
        keep: bool = True,
        legs: LegRules | None = None,
    ) -> None:
        self._rivals = Rivals(source)
        self._legs = None if legs is None or not legs.files else TableLegs.of(rules.tables, legs)
        self._folder = folder if keep else None
        self._origin = None if keep else folder
        self._names = rules.names
        self._pattern = None if rules.names is None else NamePattern.parse(rules.names)
        language = Language(frozenset(), known)
        self._compiled = lambda text: _condition(language, text)
        self._specs = [
            each if each.timezone else replace(each, timezone=rules.timezone)
            for each in rules.tables
        ]
        self._lookup_specs = rules.lookups
        self._resources = ExitStack()
        self._tables: list[Table] = []
        self._lookups: dict[str, LookupTable] = {}
        self._touched: set[str] | None = None
        self._touched_folders: Collection[str] = ()

    def __bool__(self) -> bool:
        """Whether there are tables."""
        return bool(self._specs)

    @property
    def lookups(self) -> dict[str, LookupFunction]:
        """The second tables by name, which may be opened later."""
        return {spec.source: partial(self._look_up, spec.source) for spec in self._lookup_specs}

    def _look_up(self, name: str, key: str) -> object:
        with _explaining():
            return self._lookups[name](key)

    def refresh(self, seen: str) -> None:
        """Bring all up to date; ``seen`` is the ``state`` of the last complete run.

        Raises ConfigError, OSError.
        """
        self.close()
        with ExitStack() as stack:
            folder = self._folder or Path(stack.enter_context(TemporaryDirectory()))
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._tables = [self._opened(spec, folder, stack) for spec in self._specs]
            self._lookups = {
                spec.source: stack.enter_context(LookupTable(spec, folder, self._origin))
                for spec in self._lookup_specs
            }
            if self._legs is not None:
                stack.enter_context(self._legs.opened(folder, self._origin, self._compiled))
            self._touched = self._touched_since(json.decode(seen, type=list[str]) if seen else [])
            self._touched_folders = {path.rpartition("/")[0] for path in self._touched or ()}
            self._resources = stack.pop_all()

    def _opened(self, spec: TableSpec, folder: Path, stack: ExitStack) -> Table:
        path = recordings_path(folder, spec.match, [spec.timezone, self._names])
        origin = self._origin and self._origin / path.name
        recordings = stack.enter_context(Recordings(path, origin))
        return stack.enter_context(Table(spec, folder, self._compiled, self._origin, recordings))

    def _touched_since(self, before: Sequence[str]) -> set[str] | None:
        """The recordings that may have other rows since then; None if it may be all."""
        if len(before) != len(self._tables):
            return None
        touched = set[str]()
        for table, state in zip(self._tables, before, strict=True):
            changed = table.touched_since(state)
            if changed is None:
                return None
            touched |= changed
        return touched

    def close(self) -> None:
        """Close all; more than once is fine."""
        self._resources.close()
        self._tables, self._lookups, self._touched = [], {}, None

    @property
    def state(self) -> str:
        """What was read, to tell later what has changed since."""
        return json.encode([table.generation for table in self._tables]).decode()

    def announce(self, entries: Iterable[Entry]) -> None:
        """Remember recordings, so that no two of them get one row."""
        files = {
            name: each.parts[0].path if each.parts else each.path
            for each in entries
            for name in names_of(each)
        }
        with _explaining():
            for table in self._tables:
                table.announce(files, self._wanted)

    def rows_of(self, path: str, *, alone: bool = True) -> list[tuple[TableSpec, Said]]:
        """What each table says about the recording at a path.

        Unless ``alone``, a row may be of other recordings, too.
        """
        wanted = self._wanted(path)
        rivals = self._rivals if alone else None
        with _explaining():
            return [(table.spec, self._said(table, wanted, rivals)) for table in self._tables]

    def _said(self, table: Table, wanted: WantedRows, rivals: Rivals | None) -> Said:
        try:
            return table.about(wanted, rivals)
        except ConfigError as error:
            # A row of JSON may lack a column that the others have: no reason to end a run.
            cure = "; ".join(error.hints) or "correct [[metadata.table]]"
            return (Defect(wanted.path, "table-rule", error.problem, cure),)

    def is_settled(self, folder: str) -> bool:
        """Whether the recordings of a folder surely have the rows of the last whole run."""
        return self._touched is not None and folder not in self._touched_folders

    def is_untouched(self, path: str) -> bool:
        """Whether a recording surely has them, and there are tables."""
        return bool(self._specs) and self._touched is not None and path not in self._touched

    def leg(self, path: str, is_audio: Callable[[str], bool]) -> LegPlace | None:
        """Of which call a file is a leg, by the columns that name its files."""
        if self._legs is None:
            return None
        with _explaining():
            return self._legs.place(path, is_audio)

    def unusable(self, spec: TableSpec) -> int:
        """How many rows of one table cannot be used."""
        return sum(table.fault_count for table in self._tables if table.spec is spec)

    def faults(self) -> UnusableRows:
        """The rows that cannot be used."""
        count = sum(table.fault_count for table in self._tables)
        first = tuple(defect for table in self._tables for defect in table.faults())
        return UnusableRows(count, first)

    def _wanted(self, path: str) -> WantedRows:
        named = None if self._pattern is None else self._pattern.values(path)
        if named is None:
            return WantedRows(path)
        return WantedRows(
            path, {key: text for key, text in named.fields.items() if isinstance(text, str)}
        )


@contextmanager
def _explaining() -> Iterator[None]:
    """Turns errors of the disk into SourceError."""
    try:
        yield
    except OSError as error:
        raise SourceError(
            f"the index of a table cannot be used ({error.strerror})",
            hint="run it again; the index may be deleted at any time",
        ) from error


def _condition(language: Language, text: str) -> Condition:
    """A condition of ``choose`` over the columns of a row. Raises ConfigError."""
    expression = language.compile(text, "choose")

    def holds(row: Mapping[str, object]) -> object:
        try:
            return expression(row, {})
        except AbsentValue:
            raise ConfigError(
                f"choose: {text!r} names a column that is not there",
                hint=f"its columns are {', '.join(row)}",
            ) from None
        except Unfit:
            return False

    return holds
