"""Uploads that fail, and a gRPC server of its own process to fail them."""

import asyncio
import sys
import textwrap

import pytest

from batch_uploader.core.errors import SinkError
from batch_uploader.sinks.speechsense.channel import Endpoint, Security
from batch_uploader.sinks.speechsense.credentials import ApiKey
from batch_uploader.sinks.speechsense.sink import SpeechSenseSink
from support.sink_samples import Sound, Tries, sample

CONTENT = b"RIFF" + bytes(2000)


def plain(port):
    return Endpoint("127.0.0.1", port, Security.PLAINTEXT)


async def failure(endpoint, *, seconds=10.0, whole=True, **kwargs):
    """The error that one upload ends with."""
    async with SpeechSenseSink(endpoint, ApiKey("k"), chunk_size=500, **kwargs) as sink:
        with pytest.raises(SinkError) as caught:
            await sink.upload(sample(CONTENT), Sound(CONTENT, whole=whole), Tries()(seconds))
    return caught.value


SERVER = """
    import asyncio, sys
    import grpc

    class Handler(grpc.GenericRpcHandler):
        def service(self, details):
            async def upload(request, context):
                print("received", flush=True)
                await asyncio.sleep(60)
            return grpc.unary_unary_rpc_method_handler(upload)

    async def main():
        options = [(name, int(value)) for name, value in
                   (option.split("=") for option in sys.argv[1:])]
        server = grpc.aio.server(options=options)
        port = server.add_insecure_port("127.0.0.1:0")
        server.add_generic_rpc_handlers([Handler()])
        await server.start()
        print(port, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await server.stop(0)

    asyncio.run(main())
"""


class ServerProcess:
    """A server of its own, since it is to be killed or frozen."""

    def __init__(self, *options):
        self._options = options

    async def __aenter__(self):
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            textwrap.dedent(SERVER),
            *self._options,
            stdin=pipe,
            stdout=pipe,
        )
        self.port = int(await self.process.stdout.readline())
        return self

    async def __aexit__(self, *exc):
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()

    async def received(self):
        assert await self.process.stdout.readline() == b"received\n"
