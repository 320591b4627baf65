"""``python -m batch_uploader`` is the console script."""

import sys


def main() -> None:
    """Run the command line; a Ctrl-C while it is being loaded is one as well."""
    try:
        from batch_uploader.cli import main as command_line
    except KeyboardInterrupt:
        sys.exit(130)
    command_line()


if __name__ == "__main__":
    main()
