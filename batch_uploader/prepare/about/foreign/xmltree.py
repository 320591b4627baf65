"""Turns XML into values as JSON has them.

* An element that has nothing but text is that text, without the spaces around it.
* Any other one is an object of its attributes and the elements in it, by their names. The text
  between these is under ``text``.
* What occurs once is one value; what occurs several times, attributes included, is a list of them.
* The name of the outermost element, prefixes of names and ``xmlns`` are left out.

Entities cannot be declared, so no text is longer than its file, and nothing outside is read.
"""

from typing import Final
from xml.parsers import expat

from msgspec import Struct, field

from batch_uploader.prepare.sidecar.tree import DEPTH_LIMIT, MalformedSidecar

_TEXT: Final = "text"
_MOST_ELEMENTS: Final = 200_000


class _Element(Struct):
    """An element whose end has not come yet."""

    values: dict[str, object]
    lists: set[str] = field(default_factory=set)
    text: list[str] = field(default_factory=list)

    def add(self, name: str, value: object) -> None:
        """Put a value beside those of the same name."""
        values = self.values
        if name not in values:
            values[name] = value
            return
        there = values[name]
        if name in self.lists and isinstance(there, list):
            there.append(value)
        else:
            values[name] = [there, value]
            self.lists.add(name)

    def value(self) -> object:
        """What it is worth."""
        text = "".join(self.text).strip()
        if not self.values:
            return text
        if text:
            self.add(_TEXT, text)
        return self.values


class _Builder:
    """The values of one document, made while it is parsed."""

    def __init__(self) -> None:
        self.top: object = None
        self._open: list[_Element] = []
        self._count = 0

    def start(self, _name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if len(self._open) >= DEPTH_LIMIT:
            raise _malformed("sidecar-nesting", f"it is nested more than {DEPTH_LIMIT} levels deep")
        if self._count > _MOST_ELEMENTS:
            raise _malformed("sidecar-too-large", f"it has more than {_MOST_ELEMENTS:,} elements")
        element = _Element({})
        for name, value in attributes.items():
            if name != "xmlns" and not name.startswith("xmlns:"):
                element.add(_local(name), value)
        self._open.append(element)

    def end(self, name: str) -> None:
        value = self._open.pop().value()
        if self._open:
            self._open[-1].add(_local(name), value)
        else:
            self.top = value

    def text(self, text: str) -> None:
        self._open[-1].text.append(text)

    def entity(self, *_: object) -> None:
        raise _malformed("sidecar-xml", "it declares entities", "write it without a DOCTYPE")


def load_xml(data: bytes, encoding: str | None) -> object:
    """The values in a document; ``encoding`` overrides its own. Raises MalformedSidecar."""
    parser = expat.ParserCreate(encoding)
    parser.buffer_text = True
    builder = _Builder()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    parser.EntityDeclHandler = builder.entity
    try:
        parser.Parse(data, True)  # noqa: FBT003 - expat's own
    except expat.ExpatError as error:
        what = expat.ErrorString(error.code)
        where = f"at line {error.lineno}, column {error.offset + 1}"
        raise _malformed("sidecar-xml", f"invalid XML {where} ({what})", "fix it there") from None
    except (LookupError, ValueError):
        raise _malformed(
            "sidecar-encoding",
            "it declares an encoding that cannot be read",
            'specify the true one with encoding = "..." in [[metadata.sidecar]]',
        ) from None
    return builder.top


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _malformed(
    kind: str, message: str, cure: str = "keep only what describes this recording in it"
) -> MalformedSidecar:
    return MalformedSidecar(kind, message, cure)
