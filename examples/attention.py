"""What needs a human, for a mail or a ticket: the states of all recordings, and each one in doubt.

    python examples/attention.py calls/

Needs no network, and works during an upload. Ends with 1 if something needs attention.
"""

import asyncio
import sys

from batch_uploader import Status, UploaderError, check_directory, directory_status


async def main(directory: str) -> int:
    """Print it; the exit code."""
    try:
        check = await check_directory(directory)
        status = await directory_status(directory)
    except UploaderError as error:
        print(error.problem, *error.hints, sep="\n", file=sys.stderr)
        return 1
    print(f"{check.to_send} to send, {check.defective} with defects")
    for state, totals in status.totals.items():
        if totals.recordings:
            print(f"{state.label}: {totals.recordings}")
    async for recording in status.records(Status.IN_DOUBT):
        print(f"look for {recording.path} in the SpeechSense console, then decide (resolve)")
    return 1 if check.defective or status.needs_attention else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program, the directory
        sys.exit(__doc__)
    sys.exit(asyncio.run(main(sys.argv[1])))
