"""Guesses which fields of an unknown sidecar or table are which: a layout to look over.

Fields are known by their names, in the words that systems use, and by what is in them. What is not
found stays a comment, so that nothing is made up.
"""

# ruff: noqa: RUF001 - Russian words

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from batch_uploader.app.recognition import Fit
from batch_uploader.app.shapes import matching_column
from batch_uploader.app.survey import Survey
from batch_uploader.core.text import plural, printable
from batch_uploader.layouts import Layout
from batch_uploader.prepare.about.foreign import DeclaredSidecar
from batch_uploader.prepare.about.functions import boolean, outgoing
from batch_uploader.prepare.about.values import Unfit
from batch_uploader.prepare.sidecar import Kind, Schema

_DATE: Final = """
    datetime starttime startstamp startdatetime starttimegmt inittimegmt startedat startat start
    callstart callstarttime callstartdate callstartedat calldate calltime date begin begintime
    initiationtimestamp connectedtosystemtimestamp createdat created timestamp starttimestamp
    startepoch датавремя датаивремя дата времяначала начало время time
"""
_OPERATOR_ID: Final = """
    operatorid agentid employeeid userid operatorlogin agentlogin operator agent employee user login
    username extension operatorextension agentextension ext localparty owner операторid кодоператора
    оператор сотрудник менеджер
"""
_OPERATOR_NAME: Final = """
    operatorname agentname employeename employeefullname operatorfullname agentfullname userfullname
    operator agent employee owner manager имяоператора фиооператора фио оператор сотрудник менеджер
"""
_CLIENT_ID: Final = """
    clientid clientphone clientnumber customerphone customernumber customerid respondentnumber
    contactphonenumber contactphone phonenumber phone remoteparty externalnumber externalphone
    client customer clientphonenumber номерклиента телефонклиента телефон клиент абонент номер
"""
_CLIENT_NAME: Final = """
    clientname clientfullname customername contactname contactfullname respondentname имяклиента
    фиоклиента
"""
_DIRECTION: Final = """
    directionoutgoing direction calldirection calltype direct dir flow way inout type направление
    типзвонка тип
"""
_CALLER: Final = """
    caller callernumber callingnumber callerid calleridnumber callerphone callerphonenumber from
    fromnumber src srcnum source sourcenumber ani anum numbera звонящий ктозвонил
"""
_CALLEE: Final = """
    callee calleenumber callednumber calledid dialednumber dialedphonenumber to tonumber dst dstnum
    destination destinationnumber dnis bnum numberb комузвонили
"""
_LANGUAGE: Final = "language lang locale язык"
_ID: Final = """
    recordingid recordid recordfileid recorduuid recuuid callid calluuid uniqueid uuid guid id
    exttrackingid extid
"""
_DEPTH: Final = 3
_EPOCH: Final = re.compile(r"1\d{9}(?:\.\d+)?|1\d{12}|1\d{15}")
_ZONED: Final = re.compile(r".*\d(?:Z|[+-]\d\d:?\d\d)", re.IGNORECASE)
_MOST_LISTED: Final = 12

Path = tuple[str, ...]

GUESSED: Final = "guessed"
"""The name of a layout that is a guess."""
_OURS: Final = frozenset({"{stem}.json", "{name}.json"})


class Examples(Struct, frozen=True):
    """What one source says about some recordings; ``source`` is its name in expressions."""

    source: str
    fields: tuple[Mapping[str, object], ...]


def guessed(found: Survey) -> Fit | None:
    """A layout for a table that names recordings, else for the sidecars beside them.

    None if neither is there, or nothing is known of their fields.
    """
    for head in found.seen.tables:
        matched = matching_column(head.rows, found.seen.recordings)
        if matched is None:
            continue
        column, rows = matched
        file = head.path.rpartition("/")[2]
        title = f"No known system: {printable(file)} describes the recordings"
        layout = guess(Examples("table", tuple(rows)), table_lines(file, column), title)
        if layout is not None:
            told = f"its column {printable(column)} names {plural(len(rows), 'recording')}"
            return Fit(layout, 0.0, (told,), (), {file: head.path}, ())
    shape = found.shape
    if shape is None:
        return None
    name = shape.declared.name
    title = f"No known system: the recordings have {printable(name)}"
    layout = guess(Examples("sidecar", shape.examples), sidecar_lines(shape.declared), title)
    told = f"{shape.share:.0%} of the recordings have one"
    return None if layout is None else Fit(layout, 0.0, (told,), (), {}, ())


def is_ours(found: Survey) -> bool:
    """Whether the recordings have sidecars whose fields have the names of the service's guide."""
    shape = found.shape
    if shape is None or shape.declared.name not in _OURS:
        return False
    ours = Schema.for_kind(Kind.TWO_CHANNEL).required
    return all("fields" in each or len(ours & each.keys()) > 1 for each in shape.examples)


def guess(examples: Examples, where: Sequence[str], title: str) -> Layout | None:
    """A layout; ``where`` are the lines that say what it reads. None if nothing is known of it."""
    found = _Found(examples)
    date = found.path(_DATE)
    outward, direction = _direction(found)
    caller, callee = found.path(_CALLER), found.path(_CALLEE)
    sides = _sides(found, outward, caller, callee)
    operator = found.term(_OPERATOR_ID) or sides[0]
    client = found.term(_CLIENT_ID) or sides[1]
    if date is None and not (operator and client):
        return None
    client = client and f"({client}) | phone or 'unknown'"
    made = {
        "date": None if date is None else found.moment(date),
        "direction_outgoing": direction,
        "operator_id": operator,
        "operator_name": found.term(_OPERATOR_NAME) or operator,
        "client_id": client,
        "client_name": found.term(_CLIENT_NAME) or client,
        "language": found.term(_LANGUAGE, fits=re.compile(r"[a-z]{2}-[A-Z]{2}")),
    }
    zoned = date is None or all(map(_has_zone, found.texts(date)))
    text = "\n".join(_lines(made, found, where, title, zoned=zoned))
    return Layout(GUESSED, title, text, tomllib.loads(text))


def _lines(
    made: Mapping[str, str | None],
    found: "_Found",
    where: Sequence[str],
    title: str,
    *,
    zoned: bool,
) -> Iterable[str]:
    yield f"# {title}"
    yield "#"
    yield "# Guessed from names: look at each line of [metadata.map]."
    yield ""
    identity = found.path(_ID)
    if identity is not None:
        yield f"call-id = [{json.dumps('.'.join(identity))}]"
        yield ""
    if made["language"] is None:
        yield from ("[defaults]", 'language = "ru-RU"', "")
    yield "[metadata]"
    if not zoned:
        yield '# timezone = "Europe/Moscow"'
    yield ""
    yield from where
    yield ""
    yield "[metadata.map]"
    for name, expression in made.items():
        if expression is not None:
            yield f"{name} = {json.dumps(expression, ensure_ascii=False)}"
        elif name != "language":
            yield f'# {name} = "..."  # not found among {found.listed()}'
    yield ""


class _Found:
    """The fields of the examples, by what their names mean."""

    def __init__(self, examples: Examples) -> None:
        self._source = examples.source
        self._examples = [dict(_flat(fields)) for fields in examples.fields]
        paths = dict.fromkeys(path for each in self._examples for path in each)
        self._paths = [path for path in paths if self.texts(path)]

    def path(self, words: str, fits: re.Pattern[str] | None = None) -> Path | None:
        """The field with the first of these names; the whole path counts before its end."""
        for word in words.split():
            for name in (_whole, _last):
                for path in self._paths:
                    if name(path) == word and (
                        fits is None or all(map(fits.fullmatch, self.texts(path)))
                    ):
                        return path
        return None

    def term(self, words: str, fits: re.Pattern[str] | None = None) -> str | None:
        """The same as it is written in an expression."""
        path = self.path(words, fits)
        return None if path is None else self.written(path)

    def written(self, path: Path) -> str:
        """A field as it is written in an expression."""
        steps = (f".{step}" if _is_word(step) else f"[{step!r}]" for step in path)
        return self._source + "".join(steps)

    def moment(self, path: Path) -> str:
        """A field with a time, as it is written in an expression."""
        return f"{self.written(path)} | {_clock(self.texts(path))}"

    def texts(self, path: Path) -> list[str]:
        """Its values, without the empty ones."""
        values = (each.get(path) for each in self._examples)
        return [str(value) for value in values if value not in (None, "")]

    def values(self, path: Path) -> list[object]:
        """The same as they are."""
        values = (each.get(path) for each in self._examples)
        return [value for value in values if value not in (None, "")]

    def listed(self) -> str:
        """The names of all fields, for people."""
        names = [".".join(path) for path in self._paths]
        more = ", ..." if len(names) > _MOST_LISTED else ""
        return " ".join((", ".join(names[:_MOST_LISTED]) + more).split())


def _direction(found: _Found) -> tuple[str | None, str | None]:
    """The expression for outgoing calls; once as it is used in others."""
    path = found.path(_DIRECTION)
    if path is None:
        return None, None
    for function in (outgoing, boolean):
        if all(_takes(function, value) for value in found.values(path)):
            made = f"{found.written(path)} | {function.__name__}"
            return f"({made})", made
    return None, None


def _takes(function: object, value: object) -> bool:
    try:
        return callable(function) and isinstance(function(value), bool)
    except Unfit:
        return False


def _sides(
    found: _Found, outward: str | None, caller: Path | None, callee: Path | None
) -> tuple[str | None, str | None]:
    """Operator and client, if it is known who called whom and in which direction."""
    if caller is None or callee is None or outward is None:
        return None, None
    one, other = found.written(caller), found.written(callee)
    return f"{one} if {outward} else {other}", f"{other} if {outward} else {one}"


def _clock(texts: Iterable[str]) -> str:
    return "epoch" if all(map(_EPOCH.fullmatch, texts)) else "time"


def _has_zone(text: str) -> bool:
    return bool(_EPOCH.fullmatch(text) or _ZONED.fullmatch(text))


def _flat(fields: Mapping[str, object], above: Path = ()) -> Iterable[tuple[Path, object]]:
    """The single values with their paths."""
    for name, value in fields.items():
        path = (*above, name)
        if isinstance(value, Mapping):
            if len(path) < _DEPTH:
                yield from _flat(value, path)
        elif not isinstance(value, list):
            yield path, value


def _whole(path: Path) -> str:
    return _plain("".join(path))


def _last(path: Path) -> str:
    return _plain(path[-1])


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def _is_word(name: str) -> bool:
    return name.isidentifier() and name.isascii()


def sidecar_lines(declared: DeclaredSidecar) -> list[str]:
    """The lines of the settings that declare a sidecar."""
    keys = {"name": declared.name, "records": declared.records, "match": declared.match}
    lines = [f"{key} = {json.dumps(text)}" for key, text in keys.items() if text is not None]
    return ["[[metadata.sidecar]]", *lines]


def table_lines(file: str, column: str, by: str = "stem") -> list[str]:
    """The lines of the settings that declare a table."""
    match = f'match = {{ column = {json.dumps(column, ensure_ascii=False)}, with = "{by}" }}'
    return ["[[metadata.table]]", f"file = {json.dumps(file, ensure_ascii=False)}", match]
