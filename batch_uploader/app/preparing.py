"""Chooses what prepares the recordings of a run, and what describes them."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from batch_uploader.core.checks import require_type
from batch_uploader.core.ports import Source
from batch_uploader.prepare.audio import AudioRules, Convert
from batch_uploader.prepare.describer import Describer, Refreshed, Sidecars, TellsLegs
from batch_uploader.prepare.legs.rules import LegRules
from batch_uploader.prepare.legs.source import JoinedSource, Told
from batch_uploader.prepare.pieces.describer import Pieces, RefreshedPieces
from batch_uploader.prepare.pieces.source import CutSource, Cutter
from batch_uploader.prepare.prepare import Preparer
from batch_uploader.prepare.rules import Rules, SidecarMode

if TYPE_CHECKING:
    from batch_uploader.prepare.about.describer import ManySources


_TABLES: Final = "-tables"
_CUTS: Final = "-cuts"


def joined_by(source: Source, legs: LegRules | None, describer: Describer | None = None) -> Source:
    """The source with the legs of each call as one recording, if it is said what legs are.

    If a table says it, the ``describer`` has that table; if it describes pieces, long recordings
    are listed as theirs.
    """
    pieces = describer if isinstance(describer, Pieces) else None
    joined = _joined_by(source, legs, describer if pieces is None else pieces.whole)
    return joined if pieces is None else CutSource(joined, pieces.cutter)


def _joined_by(source: Source, legs: LegRules | None, describer: Describer | None) -> Source:
    if legs is None:
        return source
    told: Told | None = None
    if legs.files and isinstance(describer, TellsLegs):
        told = describer.leg_of
    if not legs.patterns and told is None:
        return source
    return JoinedSource(source, legs, told)


def preparer_of(
    source: Source, connection_id: str, rules: Rules, describer: Describer | None = None
) -> Preparer:
    """What prepares audio by these rules; described as they say unless by something else."""
    return Preparer(source, connection_id, rules, describer or describer_of(source, rules))


def describer_of(
    source: Source, rules: Rules, folder: Path | None = None, *, keep: bool = True
) -> Describer:
    """What describes recordings by these rules. Raises ConfigError.

    ``folder`` is for indexes; unless it is to ``keep`` them, those in it are copied and left alone.
    """
    if rules.about is None:
        whole: Describer = Sidecars(source, rules.schema, rules.sidecar)
    else:
        whole = many_sources(source, rules, folder, keep=keep)
    if not rules.split_long:
        return whole
    name = "" if folder is None else f"{folder.name.removesuffix(_TABLES)}{_CUTS}"
    cutter = _cutter(source, rules.audio, folder and folder.with_name(name), keep=keep)
    return (RefreshedPieces if isinstance(whole, Refreshed) else Pieces)(whole, cutter)


def _cutter(source: Source, rules: AudioRules, file: Path | None, *, keep: bool) -> Cutter:
    from batch_uploader.prepare.pieces.known import KnownCuts  # most runs do without

    # Whatever is made of the pieces, the cuts are the same.
    form = repr((replace(rules, convert=None), rules.convert is Convert.OFF))
    return Cutter(source, rules, KnownCuts(file, form, keep=keep))


def all_listed(source: Source, legs: LegRules | None, pieces: AudioRules | None) -> Source:
    """The source with legs joined, and what is too long by these rules in pieces."""
    joined = _joined_by(source, legs, None)
    if pieces is None:
        return joined
    return CutSource(joined, _cutter(source, pieces, None, keep=False))


def indexes_of(ledger: Path) -> Path:
    """Where the indexes of the tables are that a ledger's recordings have rows in."""
    return ledger.with_name(f"{ledger.stem}{_TABLES}")


def described_fact(connection_id: str) -> str:
    """The name of the ledger's fact that says what the tables of a connection were."""
    return f"described:{connection_id}"


def many_sources(
    source: Source, rules: Rules, folder: Path | None = None, *, keep: bool = True
) -> "ManySources":
    """What describes recordings by tables, names, sidecars of any form. Raises ConfigError."""
    from batch_uploader.prepare.about.describer import ManySources  # most runs do without
    from batch_uploader.prepare.about.rules import MetadataRules

    about = MetadataRules() if rules.about is None else rules.about
    require_type("rules.about", about, MetadataRules)
    assert isinstance(about, MetadataRules)  # noqa: S101 - for the type checker
    return ManySources(
        source,
        rules.schema,
        about,
        ids=rules.columns,
        legs=rules.legs,
        optional=rules.sidecar is SidecarMode.OPTIONAL,
        folder=folder,
        keep=keep,
    )


def sidecar_patterns(rules: Rules | None) -> tuple[str, ...]:
    """Patterns of the names of other systems' sidecars."""
    return () if rules is None or rules.about is None else rules.about.sidecar_patterns
