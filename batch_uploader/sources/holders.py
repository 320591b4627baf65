"""Finds folders that have a certain hidden one, fast: files are not looked at."""

import os
from collections.abc import Iterator

from batch_uploader.host import beneath
from batch_uploader.sources.names import escape_name, path_parts
from batch_uploader.sources.root import HeldRoot
from batch_uploader.sources.selection import FileKind, Selection


def holders(root: HeldRoot, selection: Selection, name: str) -> Iterator[str]:
    """The folders below a root that have a hidden one of this name. Blocking.

    Only those that a source lists; what cannot be read is left out. Raises SourceError if the root
    cannot be read.
    """
    pending = [""]
    while pending:
        folder = pending.pop()
        prefix = f"{folder}/" if folder else ""
        try:
            with beneath.scan_beneath(root.held, path_parts(folder) if folder else ()) as items:
                for item in items:
                    if item.name[0] == ".":
                        if item.name == name and folder:
                            yield folder
                    elif item.is_dir(follow_symlinks=False):
                        path = prefix + escape_name(item.name)
                        if _is_entered(item, path, selection):
                            pending.append(path)
        except OSError as error:
            if not folder:
                raise root.error(error) from error


def _is_entered(item: os.DirEntry[str], path: str, selection: Selection) -> bool:
    excluded = {FileKind.EXCLUDED, FileKind.EXCLUDED_AUDIO}
    return selection.kind(path) not in excluded and not beneath.is_junction(item)
