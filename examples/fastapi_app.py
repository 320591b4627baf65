"""An app that uploads: FastAPI, with an upload in the background.

    CALLS=calls/ CONNECTION_ID=... API_KEY=... uvicorn fastapi_app:app --app-dir examples

POST /upload begins one, GET /upload tells how it goes, POST /upload/drain ends it in order; so does
a shutdown of the app. SPEECHSENSE_ENDPOINT and CA_FILE name another service. Needs fastapi and
uvicorn. The ledger's lock lets one upload go on at a time, also among several worker processes.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anyio import TASK_STATUS_IGNORED, create_task_group
from anyio.abc import TaskGroup, TaskStatus
from fastapi import FastAPI, HTTPException

from batch_uploader import (
    ApiKey,
    Endpoint,
    LedgerLocked,
    RunStats,
    Uploader,
    UploaderError,
    directory_uploader,
)


class Background:
    """The upload of this process: the one that goes on, and how the last one ended."""

    def __init__(self) -> None:
        self.stats = RunStats()
        self.ended: str | None = None
        self._group: TaskGroup | None = None
        self._uploader: Uploader | None = None

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """What begins in here ends in here; leaving it drains, so that nothing is left in doubt."""
        async with create_task_group() as self._group:
            yield
            self.drain("the app shuts down")

    @property
    def runs(self) -> bool:
        """Whether an upload goes on."""
        return self._uploader is not None

    async def begin(self) -> None:
        """Return once the ledger is open. Raises UploaderError if it cannot be opened."""
        assert self._group is not None  # noqa: S101 - no request comes before the app is started
        await self._group.start(self._run)

    def drain(self, reason: str) -> None:
        """Begin nothing new; uploads in flight have the grace to finish."""
        if self._uploader is not None:
            self._uploader.drain(reason)

    async def _run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        uploader = await directory_uploader(
            os.environ["CALLS"],
            connection_id=os.environ["CONNECTION_ID"],
            credentials=ApiKey(os.environ["API_KEY"]),
            endpoint=Endpoint.parse(
                os.environ.get("SPEECHSENSE_ENDPOINT", "api.speechsense.yandexcloud.net:443"),
                ca_file=os.environ.get("CA_FILE"),
            ),
        )
        async with uploader:
            self.stats, self.ended, self._uploader = uploader.stats, None, uploader
            task_status.started()
            try:
                summary = await uploader.run()
                self.ended = summary.reason or summary.ending.value
            except UploaderError as error:
                self.ended = str(error)
            finally:
                self._uploader = None


background = Background()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Uploads end before the app does."""
    async with background.serve():
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/upload", status_code=202)
async def begin() -> dict[str, str]:
    """Begin an upload."""
    try:
        await background.begin()
    except LedgerLocked as error:
        raise HTTPException(409, "an upload is going on already") from error
    except UploaderError as error:
        raise HTTPException(500, str(error)) from error
    return {"upload": "begun"}


@app.get("/upload")
async def tell() -> dict[str, Any]:
    """How it goes, or how the last one ended."""
    # Counted on the event loop, as the requests are: nothing has to be locked.
    stats = background.stats
    return {
        "runs": background.runs,
        "total": stats.total,
        "done": stats.done,
        "counts": {status.value: count for status, count in stats.counts.items() if count},
        "ended": background.ended,
    }


@app.post("/upload/drain", status_code=202)
async def drain() -> dict[str, str]:
    """End it in order; the next upload sends what is left."""
    background.drain("drained by a request")
    return {"upload": "ends"}
