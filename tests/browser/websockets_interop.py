"""Echo interop with `websockets` from PyPI: its client with our server, our client with its server."""

import asyncio
import os
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

EXAMPLES = os.environ["EXAMPLES"]
PATIENCE_SECONDS = 30
COUNTS = {True: 0, False: 0}


def check(what, actual, expected=True):
    is_good = actual == expected
    COUNTS[is_good] += 1
    print(f"ok      {what}" if is_good else f"FAILED  {what}: {actual!r:.200} instead of {expected!r:.200}")


async def within(awaitable):
    return await asyncio.wait_for(awaitable, PATIENCE_SECONDS)


async def example(name, *arguments):
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        f"{EXAMPLES}/{name}", *arguments, stdin=pipe, stdout=pipe, stderr=pipe, limit=4 << 20)


async def their_client():
    server = await example("echo", "--port", "0")
    try:
        url = "ws://%s/echo" % (await within(server.stdout.readline())).decode().split()[-1]
        for compression in ("deflate", None):
            async with connect(url, compression=compression, max_size=1 << 21) as socket:
                payload = bytes(index * 31 & 255 for index in range(1 << 20))
                for what, message in (
                    ("text", "hello 🐟"), ("empty", ""), ("binary", payload[:256]), ("125", "x" * 125), ("126", "x" * 126),
                    ("65535", payload[:65535]), ("65536", payload[:65536]), ("1 MiB of binary", payload),
                    ("1 MiB of text", "🐟" * (1 << 18)), ("binary by memoryview", memoryview(payload)[:1000]),
                ):
                    await socket.send(message)
                    check(f"websockets client, compression {compression}: {what}", await within(socket.recv()) == message)
                await socket.send(["frag", "men", "ted"])
                check("websockets client: fragmented text", await within(socket.recv()), "fragmented")
                await socket.send([b"frag", b"", b"mented"])
                check("websockets client: fragmented binary", await within(socket.recv()), b"fragmented")
                pong = await socket.ping(b"\x00\xff" * 62)
                check("websockets client: pong", await within(pong) >= 0)
                check("websockets client: nothing was negotiated", socket.protocol.extensions, [])
        for code in (1000, 1001, 1011, 3000, 4999):
            socket = await connect(url)
            await within(socket.close(code, "why"))
            check(f"websockets client: close {code}", (socket.close_code, socket.protocol.close_rcvd.code), (code, code))
    finally:
        server.kill()
        await server.wait()


async def our_client():
    seen = asyncio.Queue()

    async def handler(socket):
        if socket.request.path == "/greet":
            pong = await socket.ping(b"are you there?")
            await socket.send(["in ", "pieces"])
            await socket.send(bytes(1 << 20))
            await pong
            await socket.close(4001, "that was all")
        try:
            async for message in socket:
                await socket.send(message)
        except ConnectionClosed:
            pass
        await seen.put(socket.protocol.close_rcvd.code)

    async with serve(handler, "127.0.0.1", 0, max_size=1 << 21) as server:
        url = "ws://127.0.0.1:%d" % server.sockets[0].getsockname()[1]
        client = await example("client", f"{url}/")
        for line in ("hello", "🐟", "", "x" * (1 << 20)):
            client.stdin.write(f"{line}\n".encode())
            answer = (await within(client.stdout.readline())).decode()
            check(f"our client, websockets server: {len(line)} characters", answer == f"{line}\n")
        client.stdin.close()
        check("our client, websockets server: exit code", await within(client.wait()), 0)
        check("our client, websockets server: what it saw", (await client.stderr.read()).strip(), b"closed: 1000")
        check("our client, websockets server: what the server saw", await within(seen.get()), 1000)

        client = await example("client", f"{url}/greet")
        check("our client, websockets server: fragments", await within(client.stdout.readline()), b"in pieces\n")
        check("our client, websockets server: 1 MiB", await within(client.stdout.readline()), b"binary, 1048576 bytes\n")
        check("our client, websockets server: exit code after its close", await within(client.wait()), 0)
        check("our client, websockets server: its code", (await client.stderr.read()).strip(), b"closed: 4001 that was all")
        check("our client, websockets server: pong came, close answered", await within(seen.get()), 4001)


async def main():
    await their_client()
    await our_client()


if __name__ == "__main__":
    asyncio.run(main())
    print(f"{COUNTS[True]} passed, {COUNTS[False]} failed")
    sys.exit(1 if COUNTS[False] or not COUNTS[True] else 0)
