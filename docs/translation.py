"""The texts of a page that is written, in another language."""

import tomllib
from collections.abc import Iterator
from pathlib import Path


class Translation:
    """A table of paragraphs: the English one is the key, so what changed there has none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        table = tomllib.loads(path.read_text("utf-8"))
        self._texts = {key: " ".join(text.split()) for key, text in table.items()}
        self._asked: dict[str, None] = {}

    def __call__(self, english: str) -> str:
        """The translation, or the English text if there is none."""
        self._asked[english] = None
        return self._texts.get(english, english)

    def out_of_step(self) -> list[str]:
        """What is not translated, and what is translated in vain."""
        return list(self._wrong())

    def _wrong(self) -> Iterator[str]:
        for english in self._asked:
            if english not in self._texts:
                yield f"{self._path} has no translation of: {english}"
        for english in self._texts:
            if english not in self._asked:
                yield f"{self._path} translates what is not there any more: {english}"
