"""Prints lines to a stream that may be a terminal; used for all output but displays."""

import threading
from collections.abc import Iterable
from typing import TextIO

from batch_uploader.ui.stream import Line, SafeStream, can_draw, plain_text


def show(lines: Iterable[Line], stream: TextIO | None) -> None:
    """Print lines, in colour if the stream is a terminal that supports it.

    Never raises; gives up if a reader does not read within seconds.
    """
    if not can_draw(stream):
        out = SafeStream(stream)
        text = plain_text(lines)
        writer = threading.Thread(target=out.write, args=(text,), daemon=True)
        try:
            writer.start()
        except RuntimeError:  # no more threads can be started
            out.write(text)
            return
        out.await_writer(writer)
        return
    from batch_uploader.ui import terminal

    terminal.show(lines, stream)
