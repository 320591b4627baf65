"""A file of text as lines, whatever its encoding: counted, and with where they end in bytes.

Line ends are kept as they are, since they may be within a quoted value.
"""

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO, Final

from batch_uploader.core.errors import BadValue, ConfigError
from batch_uploader.prepare.about.tables.rows import Place
from batch_uploader.prepare.sidecar import encoding as cyrillic

LONGEST: Final = 1024 * 1024
"""The longest line in bytes; a longer one is read as several."""
SAMPLE: Final = 256 * 1024
"""The bytes that an encoding and a dialect are recognised by."""
ASCII: Final = "ascii"
"""Nothing else so far: any encoding that comes later is one that has these characters."""

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark begins it
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WITH_MARK: Final = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}
_WIDE: Final = re.compile(r"utf-(16|32)-[lb]e")
_LINE: Final = re.compile(r"[^\r\n]*(?:\r\n|\r(?=[^\n])|\n)")
_PIECE: Final = 64 * 1024
_WORDS: Final = re.compile(rb"[^\x00-\x7f]+(?:[ -][^\x00-\x7f]+)*")
_TOGETHER: Final = 20
_AGREE: Final = 0.9


def known(name: str) -> str:
    """The encoding of that name. Raises BadValue."""
    try:
        found = codecs.lookup(name)
        "".encode(name)
    except (LookupError, ValueError, TypeError):
        raise BadValue(
            f"{name!r} is not an encoding", hint="write it as utf-8, cp1251, koi8-r or utf-16"
        ) from None
    return _WITH_MARK.get(found.name, found.name)


def recognise(sample: bytes, declared: str | None) -> tuple[str, int]:
    """The encoding of a file that begins like that, and the size of its mark.

    Raises ConfigError if it is unclear.
    """
    for mark, name in _MARKS:
        if sample.startswith(mark):
            return name, len(mark)
    if declared is not None:
        return known(declared), 0
    # Even a table of Cyrillic alone has delimiters and line ends.
    zeros = [sample[start::2].count(0) for start in (0, 1)]
    if max(zeros) > len(sample) // 20 and not min(zeros):
        return ("utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"), 0
    if sample.isascii():
        return ASCII, 0
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError as error:
        return _other(sample, error), 0
    return "utf-8", 0


def _other(sample: bytes, error: UnicodeDecodeError) -> str:
    if cyrillic.is_damaged_utf8(sample):
        return "utf-8"  # each damaged row is told
    if found := _by_words(sample):
        return found
    names = ", ".join(each.codec for each in cyrillic.possible(sample)) or "cp1252"
    raise ConfigError(
        f"its encoding is unclear: it is not UTF-8 (byte {error.start + 1:,})",
        hint=f"specify it with encoding; it may be {names}",
    )


def _by_words(sample: bytes) -> str | None:
    # By some of its words at a time: one odd sign makes a reading unclear, and tables have many.
    words = sorted(set(_WORDS.findall(sample)))
    votes = Counter(
        found.codec
        for start in range(0, len(words), _TOGETHER)
        if (found := cyrillic.of(b"\n".join(words[start : start + _TOGETHER])))
    )
    [(best, count), *_] = votes.most_common(1) or [("", 0)]
    return best if count >= _AGREE * votes.total() > 0 else None


class Lines:
    """An iterator over the lines of a file, from a place on; it raises OSError.

    ``line`` is the number of the last line given, ``end`` where it ends in bytes. ``given`` are the
    lines since it was last emptied, ``invalid`` is whether they have bytes that are not text.
    """

    def __init__(self, file: BinaryIO, encoding: str, begin: Place) -> None:
        self.encoding = encoding
        self.line = begin.line - 1
        self.end = begin.offset
        self.given: list[tuple[str, int]] = []
        self.invalid = False
        self._again: list[tuple[str, int]] = []
        self._file = file
        file.seek(begin.offset)
        wide = _WIDE.fullmatch(encoding) is not None
        self._pieces = self._wide_pieces() if wide else self._pieces_of_bytes()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        text, size = piece = self._again.pop() if self._again else next(self._pieces)
        self.line += 1
        self.end += size
        self.given.append(piece)
        return text

    @property
    def begin(self) -> Place:
        """Where the lines that were given begin."""
        size = sum(size for _, size in self.given)
        return Place(self.end - size, self.line - len(self.given) + 1)

    @property
    def whole(self) -> bool:
        """Whether the last line has a line end."""
        return not self.given or self.given[-1][0].endswith(("\n", "\r"))

    def forget(self) -> None:
        """What was given is read."""
        self.given.clear()
        self.invalid = False

    def back_to_second(self) -> None:
        """Give all lines but the first of those given once more."""
        while len(self.given) > 1:
            piece = self.given.pop()
            self.line -= 1
            self.end -= piece[1]
            self._again.append(piece)
        self.forget()

    def _pieces_of_bytes(self) -> Iterator[tuple[str, int]]:
        readline, decode = self._file.readline, self._decode
        while raw := readline(LONGEST):
            if raw.find(b"\r", 0, len(raw) - 2) < 0:
                yield decode(raw), len(raw)
                continue
            parts = raw.splitlines(keepends=True)
            if len(raw) == LONGEST and len(parts) > 1 and not raw.endswith(b"\n"):
                self._file.seek(-len(parts.pop()), 1)
            for part in parts:
                yield decode(part), len(part)

    def _decode(self, raw: bytes) -> str:
        try:
            return raw.decode(self.encoding)
        except UnicodeDecodeError:
            if self.encoding == ASCII:
                place = self._file.tell()
                self.encoding = recognise(raw + self._file.read(SAMPLE), None)[0]
                self._file.seek(place)
                return self._decode(raw)
            self.invalid = True
            return raw.decode(self.encoding, "replace")

    def _wide_pieces(self) -> Iterator[tuple[str, int]]:
        decoder = codecs.getincrementaldecoder(self.encoding)("surrogatepass")
        rest = ""
        while raw := self._file.read(_PIECE):
            try:
                rest += decoder.decode(raw)
            except UnicodeDecodeError:
                raise ConfigError(
                    f"after line {self.line:,} it is not {self.encoding}",
                    hint="specify its encoding, or save it again",
                ) from None
            at = 0
            for found in _LINE.finditer(rest):
                at = found.end()
                yield self._sized(found[0])
            rest = rest[at:]
            if len(rest) > LONGEST:
                yield self._sized(rest)
                rest = ""
        if rest:
            yield self._sized(rest)

    def _sized(self, text: str) -> tuple[str, int]:
        try:
            return text, len(text.encode(self.encoding))
        except UnicodeEncodeError:  # half of a character
            self.invalid = True
            return text, len(text.encode(self.encoding, "surrogatepass"))
