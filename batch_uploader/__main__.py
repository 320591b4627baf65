"""``python -m batch_uploader`` is the console script."""

from batch_uploader.cli import main

main()
