"""The one-call use: upload a directory and look at what came of it.

    python examples/upload_directory.py calls/ CONNECTION_ID

The API key comes from the environment, as with the command line. SPEECHSENSE_ENDPOINT and CA_FILE
name another service, such as `batch-uploader emulator --tls DIR`.
"""

import asyncio
import os
import sys
from pathlib import Path

from batch_uploader import ApiKey, Endpoint, upload_directory


async def main(directory: str, connection_id: str) -> int:
    """Upload, and say how it went."""
    ca_file = os.environ.get("CA_FILE")
    endpoint = Endpoint.parse(
        os.environ.get("SPEECHSENSE_ENDPOINT", "api.speechsense.yandexcloud.net:443"),
        ca_file=Path(ca_file) if ca_file else None,
    )
    summary = await upload_directory(
        directory,
        connection_id=connection_id,
        credentials=ApiKey(os.environ["API_KEY"]),
        endpoint=endpoint,
    )
    for status, count in sorted(summary.counts.items()):
        print(f"{status}: {count}")
    for outcome in summary.attention:
        print(f"{outcome.path}: {outcome.failure.message if outcome.failure else outcome.status}")
    return 1 if summary.needs_attention else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:  # noqa: PLR2004 - the program, the directory, the connection
        sys.exit(__doc__)
    sys.exit(asyncio.run(main(*sys.argv[1:])))
