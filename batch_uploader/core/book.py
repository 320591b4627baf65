"""Which outcomes of a run stand: an outcome may be taken back when a search brings another."""

from collections.abc import Callable

from batch_uploader.core.model import Outcome
from batch_uploader.core.states import Status


class Book:
    """Enters each outcome once, and strikes it out when another takes its place.

    ``enter`` is called for each that stands from now on, ``strike`` for each that does no longer.
    """

    def __init__(self, enter: Callable[[Outcome], None], strike: Callable[[Outcome], None]) -> None:
        self._enter = enter
        self._strike = strike
        self._absent: dict[str, Outcome] = {}

    def begin(self, path: str) -> None:
        """It is taken up: what proved absent has a new beginning."""
        if (outcome := self._absent.pop(path, None)) is not None:
            self._strike(outcome)

    def end(self, outcome: Outcome) -> None:
        """It was settled or found."""
        self.begin(outcome.path)
        self._enter(outcome)

    def reconcile(self, outcome: Outcome, before: Outcome | None) -> None:
        """A search brought this of one that stood as ``before``, if it did."""
        if before is not None:
            self._strike(before)
        absent = outcome.status is Status.FAILED
        if absent:
            self._absent[outcome.path] = outcome
        if absent or before is not None:
            self._enter(outcome)
