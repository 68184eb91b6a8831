"""A member of the chat with `websockets` from PyPI: a line of JSON in is sent, what comes is a line of JSON out."""

import asyncio
import sys

from websockets.asyncio.client import connect


async def main(url):
    loop = asyncio.get_running_loop()
    async with connect(url) as socket:
        receiving = asyncio.create_task(receive(socket))
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            await socket.send(line.rstrip("\n"))
    await receiving


async def receive(socket):
    async for message in socket:
        print(message, flush=True)


asyncio.run(main(sys.argv[1]))
