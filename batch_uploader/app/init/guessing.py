"""Guesses what describes the recordings of an unknown system: a layout to look over.

Fields are known by their names and by what is in them. What is not found stays a comment, so that
nothing is made up.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from batch_uploader.app.init import meanings
from batch_uploader.app.init.meanings import Meanings, Path
from batch_uploader.app.init.nameparts import Parts, parts_of
from batch_uploader.app.init.proposal import quoted
from batch_uploader.app.init.recognition import Fit, Head
from batch_uploader.app.init.shapes import matching_column
from batch_uploader.app.init.survey import Survey
from batch_uploader.core.naming import base_name, stem
from batch_uploader.core.text import plural, printable
from batch_uploader.layouts import Layout
from batch_uploader.prepare.about.foreign import DeclaredSidecar
from batch_uploader.prepare.about.functions import boolean, outgoing
from batch_uploader.prepare.about.values import Unfit
from batch_uploader.prepare.sidecar import Kind, Schema

GUESSED: Final = "guessed"
"""The name of a layout that is a guess."""

_OURS: Final = frozenset({"{stem}.json", "{name}.json"})
_EPOCH: Final = re.compile(r"1\d{9}(?:\.\d+)?|1\d{12}|1\d{15}")
_ZONED: Final = re.compile(r"(?:.*\d(?:Z|[+-]\d\d:?\d\d))|" + _EPOCH.pattern, re.IGNORECASE)
_LANGUAGE: Final = re.compile(r"[a-z]{2}-[A-Z]{2}")
_COUNTRIES: Final = {"ru": "RU", "en": "US", "kk": "KZ", "uz": "UZ"}
_FEW: Final = 0.2
"""The share of words that may be unknown if the others say the direction."""


class Guess(Struct, frozen=True):
    """The expressions by field, None for what was not found, and what else a layout says.

    ``zoned`` is whether its times say their zone, ``fields`` what there is, for people.
    """

    made: Mapping[str, str | None]
    zoned: bool
    fields: str
    call_id: str | None = None

    @property
    def says_enough(self) -> bool:
        """Whether it is worth looking over."""
        made = self.made
        return made["date"] is not None or bool(made["operator_id"] and made["client_id"])


class NamingColumn(Struct, frozen=True):
    """A column that names recordings, and the rows that do."""

    column: str
    rows: Sequence[Mapping[str, object]]
    recordings: Sequence[str]

    @property
    def shared(self) -> int:
        """How many recordings have the name of one in another folder."""
        paths = {stem(path).casefold() for path in self.recordings}
        names = Counter(map(base_name, paths))
        return sum(count for count in names.values() if count > 1)

    @property
    def folders(self) -> bool:
        """Whether the column has folders before the names."""
        return any(re.search(r"[/\\]", str(row[self.column])) for row in self.rows)


def guessed(found: Survey) -> Fit | None:
    """A layout for a table that names recordings, else for sidecars beside them, else for names.

    Else for a table that names recordings and says nothing that is known; None without one.
    """
    unclear: Fit | None = None
    for head in (part for each in found.seen.tables for part in each.parts or (each,)):
        matched = matching_column(head.rows, found.seen.recordings)
        if matched is None:
            continue
        column, rows = matched
        guess = of_fields("table", rows)
        fit = _of_table(guess, head, NamingColumn(column, rows, found.seen.recordings))
        if guess.says_enough:
            return fit
        unclear = unclear or fit
    if (shape := found.shape) is not None:
        guess = of_fields("sidecar", shape.examples)
        if guess.says_enough:
            title = f"No known system: the recordings have {printable(shape.declared.name)}"
            layout = layout_of(guess, _sidecar(shape.declared), title)
            told = f"{shape.share:.0%} of the recordings have one"
            return Fit(layout, 0.0, (told,), (), {}, ())
    if (parts := parts_of(found.seen.recordings)) is not None:
        guess = _of_names(parts)
        if guess.says_enough:
            title = "No known system: names say something about the recordings"
            layout = layout_of(guess, [f"names = {quoted(parts.pattern)}"], title)
            return Fit(layout, 0.0, (f"{parts.share:.0%} of the names are alike",), (), {}, ())
    return unclear


def _of_table(guess: Guess, head: Head, named: NamingColumn) -> Fit:
    """A layout for a table whose column names recordings."""
    name = base_name(head.path)
    file = name if head.query is None else f"sqlite:{name}"
    told = [f"its column {printable(named.column)} names {plural(len(named.rows), 'recording')}"]
    if named.shared and not named.folders:
        told.append(
            f"{plural(named.shared, 'recording')} have the name of one in another folder, and it"
            " names no folders: match by what tells them apart"
        )
    title = f"No known system: {printable(name)} describes the recordings"
    layout = layout_of(guess, _table(file, named, head.query), title)
    return Fit(layout, 0.0, tuple(told), (), {file: head.path}, ())


def is_ours(found: Survey) -> bool:
    """Whether the recordings have sidecars whose fields have the names of the service's guide."""
    shape = found.shape
    if shape is None or shape.declared.name not in _OURS:
        return False
    ours = Schema.for_kind(Kind.TWO_CHANNEL).required
    return all("fields" in each or len(ours & each.keys()) > 1 for each in shape.examples)


def of_fields(source: str, examples: Iterable[Mapping[str, object]]) -> Guess:
    """What the fields of a source are; ``source`` is its name in expressions."""
    found = Meanings(source, examples)
    date, identity = found.path(meanings.DATE), found.path(meanings.ID)
    direction = _direction(found)
    operator = found.term(meanings.OPERATOR_ID)
    client = found.term(meanings.CLIENT_ID)
    client_name = found.term(meanings.CLIENT_NAME)
    if direction is not None:
        caller, callee = found.term(meanings.CALLER), found.term(meanings.CALLEE)
        if caller and callee:
            operator = operator or f"{caller} if ({direction}) else {callee}"
            client = client or f"{callee} if ({direction}) else {caller}"
        caller, callee = found.term(meanings.CALLER_NAME), found.term(meanings.CALLEE_NAME)
        if caller and callee and not client_name:
            client_name = f"{callee} if ({direction}) else {caller}"
    client = client and f"({client}) | phone or 'unknown'"
    made = {
        "date": None if date is None else f"{found.written(date)} | {_clock(found, date)}",
        "direction_outgoing": direction,
        "operator_id": operator,
        "operator_name": found.term(meanings.OPERATOR_NAME) or operator,
        "client_id": client,
        "client_name": f"({client_name}) or ({client})" if client_name and client else client,
        "language": _language(found),
    }
    apart = identity is not None and found.tells_apart(identity)
    call_id = ".".join(identity) if identity is not None and apart else None
    return Guess(made, date is None or found.are(date, _ZONED), found.listed(), call_id)


def _of_names(parts: Parts) -> Guess:
    """What the parts of names are."""
    made: dict[str, str | None] = dict.fromkeys(
        ("date", "direction_outgoing", "operator_id", "operator_name", "client_id", "client_name")
    )
    made["language"] = None
    if parts.clock is not None:
        made["date"] = f"start | {parts.clock}"
    if parts.has_way:
        made["direction_outgoing"] = "way | outgoing"
    if parts.one_is_short:
        # Of two numbers the short one is an extension; the one that called comes first.
        made["operator_id"] = made["operator_name"] = "first if first | length < 7 else second"
        client = "(second if first | length < 7 else first) | phone or 'unknown'"
        made["client_id"] = made["client_name"] = client
        made["direction_outgoing"] = made["direction_outgoing"] or "first | length < 7"
    elif parts.numbers == 1:
        made["client_id"] = made["client_name"] = "first | phone or 'unknown'"
    return Guess(made, parts.clock in {None, "epoch"}, ", ".join(parts.groups))


def layout_of(guess: Guess, where: Sequence[str], title: str) -> Layout:
    """A layout with a guess; ``where`` are the lines that say what it reads."""
    text = "\n".join(_lines(guess, where, title))
    return Layout(GUESSED, title, text, tomllib.loads(text))


def _lines(guess: Guess, where: Sequence[str], title: str) -> Iterator[str]:
    yield from (f"# {title}", "#", "# Guessed: look at each line of [metadata.map].", "")
    if guess.call_id is not None:
        yield from (f"call-id = [{quoted(guess.call_id)}]", "")
    if guess.made["language"] is None:
        yield from ("[defaults]", 'language = "ru-RU"', "")
    yield "[metadata]"
    if not guess.zoned:
        yield '# timezone = "Europe/Moscow"'
    yield from (*where, "", "[metadata.map]")
    for name, expression in guess.made.items():
        if expression is not None:
            yield f"{name} = {quoted(expression)}"
        elif name != "language":
            yield f'# {name} = "..."  # not found among {guess.fields}'
    yield ""


def _direction(found: Meanings) -> str | None:
    """The expression for outgoing calls."""
    for path in found.all(meanings.DIRECTION):
        values = found.values(path)
        for function in (outgoing, boolean):
            known = sum(_takes(function, value) for value in values)
            if known and known >= (1 - _FEW) * len(values):
                return f"{found.written(path)} | {function.__name__}"
    return None


def _language(found: Meanings) -> str | None:
    """The expression for a language with its country; None if it has to be the same for all."""
    path = found.path(meanings.LANGUAGE)
    if path is None:
        return None
    if found.are(path, _LANGUAGE):
        return found.written(path)
    words = {text.lower() for text in found.texts(path)}
    if not words <= _COUNTRIES.keys():
        return None
    known = ", ".join(f"'{word}': '{word}-{country}'" for word, country in _COUNTRIES.items())
    return f"{found.written(path)} | choose({{{known}}})"


def _takes(function: object, value: object) -> bool:
    try:
        return callable(function) and isinstance(function(value), bool)
    except Unfit:
        return False


def _clock(found: Meanings, path: Path) -> str:
    return "epoch" if found.are(path, _EPOCH) else "time"


def _sidecar(declared: DeclaredSidecar) -> list[str]:
    """The lines of the settings that declare a sidecar."""
    keys = {"name": declared.name, "records": declared.records, "match": declared.match}
    lines = [f"{key} = {quoted(text)}" for key, text in keys.items() if text is not None]
    return ["", "[[metadata.sidecar]]", *lines]


def _table(file: str, named: NamingColumn, query: str | None) -> list[str]:
    """The lines of the settings that declare a table."""
    by = "path" if named.shared and named.folders else "stem"
    match = f'match = {{ column = {quoted(named.column)}, with = "{by}" }}'
    if query is None:
        return ["", "[[metadata.table]]", f"file = {quoted(file)}", match]
    where = (f"database = {quoted(file)}", f"query = {quoted(query)}")
    return ["", "[[metadata.table]]", *where, match]
