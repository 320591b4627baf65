"""``python -m batch_uploader`` is the console script."""

import gc
import sys

_GARBAGE = 20_000
"""The number of new objects that starts a garbage collection: imported objects stay, and with
Python's default they would be searched ninety times."""


def main() -> None:
    """Run the command line; handles a Ctrl-C during the imports, too."""
    gc.set_threshold(_GARBAGE)
    try:
        from batch_uploader.cli import main as command_line
    except KeyboardInterrupt:
        sys.exit(130)
    command_line()


if __name__ == "__main__":
    main()
