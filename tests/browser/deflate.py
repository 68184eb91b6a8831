"""Compression in every mode with `websockets` from PyPI: its client with our server, our client with its server."""

import asyncio
import os
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory

from websockets_interop import COUNTS, check, example, within

NOISE = os.urandom(70_000)
ALIKE = [f'{{"id":{i},"name":"order","text":"{"the same again and again " * 20}"}}' for i in range(12)]
MESSAGES = ALIKE + ["", "short", "🐟" * 40_000, "x" * 300_000, NOISE, bytes(100_000), NOISE[:500]]


async def their_client():
    for mode in ([], ["takeover"], ["no-context"]):
        server = await example("echo", "--port", "0", "--deflate", *mode)
        try:
            url = "ws://%s/echo" % (await within(server.stdout.readline())).decode().split()[-1]
            for options in (
                {},
                {"server_no_context_takeover": True},
                {"client_no_context_takeover": True, "server_no_context_takeover": True},
                {"server_max_window_bits": 9, "client_max_window_bits": 9},
                {"server_max_window_bits": 12, "client_max_window_bits": 11, "client_no_context_takeover": True},
            ):
                what = f"websockets client {options}, server --deflate {' '.join(mode)}"
                factory = ClientPerMessageDeflateFactory(**{"client_max_window_bits": True, **options})
                async with connect(url, compression=None, extensions=[factory], max_size=1 << 21) as socket:
                    check(f"{what}: negotiated", [e.name for e in socket.protocol.extensions], ["permessage-deflate"])
                    intact = 0
                    for message in MESSAGES:
                        await socket.send(message)
                        intact += await within(socket.recv()) == message
                    check(f"{what}: messages", intact, len(MESSAGES))
                    await socket.send(ALIKE[:5])
                    check(f"{what}: fragments", await within(socket.recv()) == "".join(ALIKE[:5]))
        finally:
            server.kill()
            await server.wait()


async def our_client():
    seen = asyncio.Queue()

    async def handler(socket):
        await seen.put([extension.name for extension in socket.protocol.extensions])
        async for message in socket:
            await socket.send(message)

    for options in (
        {},
        {"server_no_context_takeover": True, "client_no_context_takeover": True},
        {"server_max_window_bits": 10, "client_max_window_bits": 11},
    ):
        factory = ServerPerMessageDeflateFactory(**options)
        async with serve(handler, "127.0.0.1", 0, compression=None, extensions=[factory], max_size=1 << 21) as server:
            for mode in ("takeover", "no-context", "off"):
                what = f"our client {mode}, websockets server {options}"
                client = await example("client", "ws://127.0.0.1:%d/" % server.sockets[0].getsockname()[1], "--deflate", mode)
                lines = [message for message in MESSAGES if isinstance(message, str)]
                intact = 0
                for line in lines:
                    client.stdin.write(f"{line}\n".encode())
                    intact += (await within(client.stdout.readline())).decode() == f"{line}\n"
                check(f"{what}: messages", intact, len(lines))
                check(f"{what}: negotiated", await within(seen.get()), [] if mode == "off" else ["permessage-deflate"])
                client.stdin.close()
                check(f"{what}: exit code", await within(client.wait()), 0)


async def main():
    await their_client()
    await our_client()


asyncio.run(main())
print(f"{COUNTS[True]} passed, {COUNTS[False]} failed")
sys.exit(1 if COUNTS[False] or not COUNTS[True] else 0)
