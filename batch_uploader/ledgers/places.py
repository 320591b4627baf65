"""The default paths of the files that belong to a directory of recordings."""

from pathlib import Path

from batch_uploader.core.errors import CommandHint, LedgerError

LEDGER_FOLDER = ".batch-uploader"
LEDGER_NAME = "ledger.db"
REBUILD = CommandHint("to make a new ledger from the manifest", "upload", "--rebuild")
"""The hint if a ledger is lost and its manifest exists."""
TAKE_OVER = CommandHint(
    "or have a new ledger take over what this one and the manifest know (what neither knows is in"
    " doubt)",
    "upload",
    "--rebuild",
)
"""The hint if a ledger is older than its manifest."""


def ledger_path(directory: Path) -> Path:
    """The default path of a directory's ledger."""
    return directory / LEDGER_FOLDER / LEDGER_NAME


def manifest_path(directory: Path) -> Path:
    """The default path of a directory's manifest."""
    return directory / "manifest.jsonl"


def has_ledger(ledger: Path) -> bool:
    """Whether the ledger exists. Raises LedgerError if this user has no permission."""
    try:
        return ledger.exists()
    except OSError as error:
        raise LedgerError(
            f"the ledger {ledger} cannot be read ({error.strerror})",
            hint="run as the user that made it, or grant this user access to it and its folder",
        ) from error


def stale_note(manifest: Path) -> Path:
    """The path of the note that a manifest may be behind the ledger."""
    return manifest.with_name(f".{manifest.name}.behind")


def require_no_lost_ledger(directory: Path, ledger: Path, manifest: Path) -> None:
    """Raise LedgerError if a manifest shows that there was a ledger, which is gone.

    A manifest at the default path counts, even if this run has its own elsewhere, and so does the
    note of a run that did not write one.
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
    hints = ["put the ledger back, or specify the right one with --ledger"]
    if manifests[0] != manifest_path(directory):
        hints.append("if that is another directory's manifest, specify its own with --manifest")
    hints.append(REBUILD)
    raise LedgerError(
        f"the ledger {ledger} is gone, and only its manifest {manifests[0]} is left: nothing else"
        " tells what was uploaded",
        hint=hints,
    )


def forgotten(ledger: Path, trace: Path) -> LedgerError:
    """The error of a ledger that is gone, without a manifest; ``trace`` proves that it existed."""
    return LedgerError(
        f"the ledger {ledger} is gone: {trace} shows that there was one, and recordings may have"
        " been uploaded",
        hint=[
            "put the ledger back, or specify the right one with --ledger",
            f"if nothing was ever uploaded, remove {trace} and run again",
        ],
    )
