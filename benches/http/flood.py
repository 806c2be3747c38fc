"""Floods a server, or measures a polite client during a flood. Prints one line; see docs/performance.md.

    flood.py polite ADDRESS SECONDS     100 requests per second on one connection, from a separate address
    flood.py heads ADDRESS SECONDS      200 connections that send their heads byte by byte; a closed one is replaced
    flood.py bodies ADDRESS SECONDS     4 connections, one after the other, with bodies of 10 MB
    flood.py uris ADDRESS SECONDS       16 connections with addresses of 20 KB
    flood.py often ADDRESS SECONDS      16 connections that request the list as fast as they can
    flood.py readers ADDRESS SECONDS    200 connections that request the list and never read it
"""

import asyncio
import collections
import socket
import sys
import time

HEAD = "%s %s HTTP/1.1\r\nHost: bench\r\n%s\r\n"
# The headers that a refusal must have, by status.
OWED = {b"429": (b"retry-after", b"ratelimit", b"ratelimit-policy")}
told = collections.Counter()


def request(target, method="GET", headers=""):
    return (HEAD % (method, target, headers)).encode()


def note(head):
    status = head[9:12]
    names = {line.split(b":")[0].lower() for line in head.split(b"\r\n")[1:]}
    told[status.decode()] += 1
    if any(name not in names for name in OWED.get(status, ())):
        told["incomplete"] += 1


async def answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line[15:])
    await reader.readexactly(length)
    return head


async def connect(source="127.0.0.1"):
    return await asyncio.open_connection(*server, local_addr=(source, 0))


async def polite(end):
    reader, writer = await connect("127.0.0.2")
    taken = []
    while time.perf_counter() < end:
        begun = time.perf_counter()
        writer.write(request("/api/models", headers="Accept-Encoding: gzip\r\n"))
        note(await answer(reader))
        taken.append(time.perf_counter() - begun)
        await asyncio.sleep(max(0, 0.01 - taken[-1]))
    taken.sort()
    print(*(round(taken[len(taken) * of // 100] * 1e6) for of in (50, 99)), sep="\t", end="\t")


async def heads(end):
    async def one():
        while time.perf_counter() < end:
            reader, writer = await connect()
            writer.write(b"GET /api/models HTTP/1.1\r\nX-Slow: ")
            answered = asyncio.ensure_future(reader.read())
            while time.perf_counter() < end and not answered.done():
                writer.write(b"a")
                await asyncio.wait([answered], timeout=0.1)
            if answered.done() and not answered.exception() and answered.result():
                note(answered.result())
            answered.cancel()
            writer.close()

    await asyncio.gather(*(one() for _ in range(200)), return_exceptions=True)


async def bodies(end):
    body = b"x" * 10_000_000

    async def one():
        while time.perf_counter() < end:
            reader, writer = await connect()
            writer.write(request("/api/models", "POST", "Content-Length: %d\r\n" % len(body)))
            writer.write(body)
            try:
                note(await answer(reader))
            except (asyncio.IncompleteReadError, ConnectionError):
                told["cut off"] += 1
            writer.transport.abort()

    await asyncio.gather(*(one() for _ in range(4)))


async def repeat(end, asked):
    async def one():
        reader, writer = await connect()
        while time.perf_counter() < end:
            writer.write(asked)
            note(await answer(reader))
        writer.close()

    await asyncio.gather(*(one() for _ in range(16)))


async def uris(end):
    await repeat(end, request("/api/models?q=" + "x" * 20_000))


async def often(end):
    await repeat(end, request("/api/models", headers="Accept-Encoding: gzip\r\n"))


async def readers(end):
    def one():
        stream = socket.socket()
        # A small buffer, so the system holds little and the server much.
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stream.connect(server)
        stream.send(request("/api/models", headers="Connection: close\r\n"))
        return stream

    streams = [one() for _ in range(200)]
    await asyncio.sleep(end - time.perf_counter())
    told["opened"] = len(streams)


kind, address, seconds = sys.argv[1:]
host, port = address.removeprefix("http://").split(":")
server = (host, int(port))
asyncio.run(globals()[kind](time.perf_counter() + float(seconds)))
print(", ".join(f"{count} {what}" for what, count in sorted(told.items())))
