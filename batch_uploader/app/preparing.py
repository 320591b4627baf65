"""Chooses what prepares the recordings of a run, and what describes them."""

from batch_uploader.core.ports import Source
from batch_uploader.prepare.describer import Describer, Sidecars
from batch_uploader.prepare.prepare import Preparer
from batch_uploader.prepare.rules import Rules


def preparer_of(
    source: Source, connection_id: str, rules: Rules, describer: Describer | None = None
) -> Preparer:
    """What prepares audio by these rules; described by sidecars unless by something else."""
    if describer is None:
        describer = Sidecars(source, rules.schema, rules.sidecar)
    return Preparer(source, connection_id, rules, describer)
