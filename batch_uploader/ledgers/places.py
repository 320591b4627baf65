"""Where the files that belong to a directory of recordings are, unless it is told otherwise."""

from pathlib import Path

from batch_uploader.core.errors import LedgerError

LEDGER_FOLDER = ".batch-uploader"
LEDGER_NAME = "ledger.db"


def ledger_path(directory: Path) -> Path:
    """Where a directory's ledger is unless it is told otherwise."""
    return directory / LEDGER_FOLDER / LEDGER_NAME


def manifest_path(directory: Path) -> Path:
    """Where a directory's manifest is unless it is told otherwise."""
    return directory / "manifest.jsonl"


def has_ledger(ledger: Path) -> bool:
    """Whether there is one. Raises LedgerError where this user may not look."""
    try:
        return ledger.exists()
    except OSError as error:
        raise LedgerError(
            f"the ledger {ledger} cannot be read ({error.strerror}): run as the user that made it,"
            " or let this user read and write it and its folder"
        ) from error


def stale_note(manifest: Path) -> Path:
    """Where a run notes that a manifest may fall behind the ledger."""
    return manifest.with_name(f".{manifest.name}.behind")


def require_no_lost_ledger(directory: Path, ledger: Path, manifest: Path) -> None:
    """Refuse to begin anew where a manifest tells that there was a ledger. Raises LedgerError.

    Such is the one at its usual place as well, wherever this run keeps its own; and so does the
    note of a run that wrote none.
    """
    if has_ledger(ledger):
        return
    places = (manifest, manifest_path(directory))
    manifests = [each for each in places if each.is_file()]
    notes = [note for note in map(stale_note, places) if note.is_file()]
    if not manifests:
        if notes:
            raise forgotten(ledger, notes[0])
        return
    error = LedgerError(
        f"there is a manifest {manifests[0]}, but its ledger {ledger} is gone:"
        " without it nothing tells what was uploaded"
    )
    error.add_note("put the ledger back, or name the right one")
    if manifests[0] != manifest_path(directory):
        error.add_note("if that is another directory's manifest, name one of its own: --manifest F")
    error.add_note("else have batch-uploader upload --rebuild make a new one from the manifest")
    raise error


def forgotten(ledger: Path, trace: Path) -> LedgerError:
    """The error of a ledger that is gone, and no manifest is there; a trace proves that it was."""
    error = LedgerError(
        f"there is no ledger {ledger}, but {trace} shows that there was one, and recordings may"
        " have gone up"
    )
    error.add_note("put the ledger back, or name the right one with --ledger")
    error.add_note(f"if nothing ever went up, remove {trace}: all is sent then")
    return error
