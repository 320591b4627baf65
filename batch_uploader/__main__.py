"""``python -m batch_uploader`` is the console script."""

import gc
import sys

_GARBAGE = 20_000
"""With so many new objects they are searched for cycles: what is loaded at the start stays, and
Python would search it ninety times."""


def main() -> None:
    """Run the command line; a Ctrl-C while it is being loaded is one as well."""
    gc.set_threshold(_GARBAGE)
    try:
        from batch_uploader.cli import main as command_line
    except KeyboardInterrupt:
        sys.exit(130)
    command_line()


if __name__ == "__main__":
    main()
