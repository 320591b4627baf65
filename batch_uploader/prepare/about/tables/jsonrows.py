"""Tables in JSON: an object a line, or a list of objects."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final

from batch_uploader.core.errors import ConfigError
from batch_uploader.prepare.about.tables.lines import SAMPLE, Lines, recognise
from batch_uploader.prepare.about.tables.rows import Place, Row, RowFault, Whole

_LARGEST: Final = 64 * 1024 * 1024
"""Bytes of a list within an object, which is read at once."""
_BETWEEN: Final = re.compile(r"[\s,]*")
_PIECE: Final = 256 * 1024
_LONGEST_ROW: Final = 4 * 1024 * 1024
_FIX: Final = "fix it there"
_NEXT_OBJECT: Final = re.compile(r"\n\{")
_DEEPEST: Final = 4
"""How deep within an answer its list may be."""


class _Refused(ValueError):  # noqa: N818 - internal
    """JSON that a row must not have."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Refused(f"it has {twice!r} twice")
    return found


def _constant(text: str) -> object:
    raise _Refused(f"{text} is not allowed")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def is_list(sample: bytes, encoding: str | None) -> bool:
    """Whether a file that begins like that holds one list, or one object over several lines."""
    name, mark = recognise(sample, encoding)
    text = sample[mark:].decode(name, "ignore").lstrip()
    if not text.startswith("{"):
        return True
    try:
        _DECODER.decode(text.partition("\n")[0])
    except ValueError:
        return True
    return False


def list_within(
    file: BinaryIO,
    encoding: str | None,
    is_row: Callable[[Mapping[str, object]], bool] | None = None,
) -> str | None:
    """Where the rows are in a file that is one object, as an API answers: ``result.data``.

    None if the object is a row itself, if no list within it has rows, or if the file is not one
    object. Without ``is_row`` only what is within may be a row, any object there.
    """
    file.seek(0)
    sample = file.read(SAMPLE)
    name, mark = recognise(sample, encoding)
    begin = sample[mark:].decode(name, "ignore").lstrip()
    if not begin.startswith("{") or _NEXT_OBJECT.search(begin):
        return None
    data = sample + file.read(_LARGEST - len(sample))
    try:
        found = _DECODER.decode(data[mark:].decode(name))
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or (is_row is not None and is_row(found)):
        return None
    paths: list[tuple[str, ...]] = [(each,) for each in found]
    for path in paths:
        inner: Any = found
        for step in path:
            inner = inner[step]
        first = inner[0] if isinstance(inner, list) and inner else None
        if isinstance(first, dict) and (is_row is None or is_row(first)):
            return ".".join(path)
        if isinstance(inner, dict) and len(path) < _DEEPEST:
            paths += [(*path, each) for each in inner]
    return None


class JsonLinesReader:
    """An object a line."""

    columns = None

    def __init__(
        self, file: BinaryIO, encoding: str | None, form: Mapping[str, object] | None = None
    ) -> None:
        self._file = file
        if form is None:
            file.seek(0)
            name, mark = recognise(file.read(SAMPLE), encoding)
            form = {"encoding": name, "begin": mark}
        self._form = form
        self._lines = Lines(file, str(form["encoding"]), Place(int(str(form["begin"]))))
        self.unfinished: Place | None = None

    @property
    def form(self) -> Mapping[str, object]:
        """As ``Reader`` has it."""
        return {**self._form, "encoding": self._lines.encoding}

    @property
    def place(self) -> Place:
        """As ``Reader`` has it."""
        return Place(self._lines.end, self._lines.line + 1)

    def read(self, begin: Place) -> Iterator[Row | RowFault]:
        """As ``Reader`` has it."""
        if begin.offset >= self._lines.end:
            self._lines = Lines(self._file, self._lines.encoding, begin)
        lines = self._lines
        for text in lines:
            if not lines.whole:
                self.unfinished = lines.begin
            invalid = lines.invalid
            lines.forget()
            if not text.strip():
                continue
            if invalid:
                message = f"it is not {lines.encoding}"
                cure = "write it again, or specify encoding"
                yield RowFault(lines.line, "table-encoding", message, cure)
                continue
            try:
                values = _DECODER.decode(text)
            except (ValueError, RecursionError) as error:
                yield RowFault(lines.line, "table-json", _said(error), _FIX)
                continue
            yield _row(values, lines.line)


class JsonListReader(Whole):
    """A list of objects, or an object with one, at the path ``records``: ``data.calls``."""

    columns = None

    def __init__(self, file: BinaryIO, encoding: str | None, records: str | None = None) -> None:
        self._file = file
        self._encoding = encoding
        self._records = records

    def read(self, begin: Place) -> Iterator[Row | RowFault]:
        """As ``Reader`` has it; always from the beginning."""
        del begin
        self._file.seek(0)
        name, mark = recognise(self._file.read(SAMPLE), self._encoding)
        lines = Lines(self._file, name, Place(mark))
        if self._records is not None:
            yield from self._within(lines)
            return
        yield from _streamed(lines)

    def _within(self, lines: Lines) -> Iterator[Row | RowFault]:
        texts = []
        for text in lines:
            texts.append(text)
            lines.forget()
            if lines.end > _LARGEST:
                raise ConfigError(
                    f"it is larger than {_LARGEST:,} bytes",
                    hint="write it as JSON lines, one object a line",
                )
        try:
            found = _DECODER.decode("".join(texts))
        except (ValueError, RecursionError) as error:
            yield RowFault(1, "table-json", _said(error), _FIX)
            return
        for name in filter(None, str(self._records).split(".")):
            found = found.get(name) if isinstance(found, dict) else None
        if isinstance(found, dict):
            found = list(found.values())
        if not isinstance(found, list):
            raise ConfigError(
                f"it has no list at {self._records}", hint="specify where it is with records"
            )
        for number, values in enumerate(found, start=1):
            yield _row(values, number)


def _streamed(lines: Lines) -> Iterator[Row | RowFault]:
    """The objects of a list, which may be larger than the memory."""
    text = _Text(lines)
    begins = text.next()
    if begins and begins != "[":
        raise ConfigError(
            "it is neither a list of objects nor an object a line",
            hint="specify where its list is with records",
        )
    text.at += 1
    while begins and (begins := text.next()) != "]":
        if not begins:
            yield RowFault(text.line, "table-json", "it ends within its list", "it is cut off")
            return
        try:
            values = text.value()
        except (ValueError, RecursionError) as error:
            rest = "; what follows is not read"
            yield RowFault(text.line, "table-json", _said(error, text.base) + rest, _FIX)
            return
        yield _row(values, text.line)


class _Text:
    """JSON that is read piece by piece: where it is, and on which line."""

    def __init__(self, lines: Lines) -> None:
        self.at = 0
        self.line = 1
        self.base = 1
        self._lines = lines
        self._text = ""
        self._counted = 0

    def next(self) -> str:
        """The first character of the next value, or what ends them; "" at the end."""
        while True:
            if found := _BETWEEN.match(self._text, self.at):
                self.at = found.end()
            self.line += self._text.count("\n", self._counted, self.at)
            self._counted = self.at
            if self.at < len(self._text):
                return self._text[self.at]
            if not self._more():
                return ""

    def value(self) -> object:
        """The value that begins here. Raises ValueError, RecursionError."""
        while True:
            try:
                values, self.at = _DECODER.raw_decode(self._text, self.at)
            except _Refused:
                raise
            except (ValueError, RecursionError):
                # It may only be cut off by the piece.
                if len(self._text) - self.at > _LONGEST_ROW or not self._more():
                    raise
            else:
                return values

    def _more(self) -> bool:
        texts, size = [], 0
        for text in self._lines:
            self._lines.forget()
            texts.append(text)
            size += len(text)
            if size >= _PIECE:
                break
        if not texts:
            return False
        self._text = self._text[self.at :] + "".join(texts)
        self.at = self._counted = 0
        self.base = self.line
        return True


def _row(values: object, line: int) -> Row | RowFault:
    if isinstance(values, dict):
        return Row(line, values)
    message = "it is not an object"
    return RowFault(line, "table-json", message, 'write {"column": "value", ...}')


def _said(error: Exception, begin: int = 1) -> str:
    if isinstance(error, json.JSONDecodeError):
        line = begin + error.lineno - 1
        where = f"line {line}, column {error.colno}" if line > 1 else f"column {error.colno}"
        return f"invalid JSON at {where} ({error.msg})"
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return str(error)


def at(values: Mapping[str, object], path: Sequence[str]) -> Iterator[object]:
    """The values at a path, of all elements of the lists on it."""
    found: object = values
    for number, name in enumerate(path):
        if isinstance(found, list):
            for each in found:
                if isinstance(each, dict):
                    yield from at(each, path[number:])
            return
        if not isinstance(found, dict) or name not in found:
            return
        found = found[name]
    if isinstance(found, list):
        yield from found
    else:
        yield found
