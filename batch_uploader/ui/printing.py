"""Lines for a stream that may be a terminal: the only way to print what is not a display."""

import threading
from collections.abc import Iterable
from typing import TextIO

from batch_uploader.ui.stream import Line, SafeStream, can_draw, plain_text


def show(lines: Iterable[Line], stream: TextIO | None) -> None:
    """Print lines, in colour where the stream is a terminal that wants it.

    Never raises; what a reader does not take within seconds is given up.
    """
    if not can_draw(stream):
        out = SafeStream(stream)
        text = plain_text(lines)
        writer = threading.Thread(target=out.write, args=(text,), daemon=True)
        try:
            writer.start()
        except RuntimeError:  # the machine starts no more of them
            out.write(text)
            return
        out.await_writer(writer)
        return
    from batch_uploader.ui import terminal

    terminal.show(lines, stream)
