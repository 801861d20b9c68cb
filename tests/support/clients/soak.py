#!/usr/bin/python3
"""Mixed traffic from inside a sandbox, counted.

usage: soak.py CONNECTIONS SECONDS

Each connection asks at random, with a pause, and is kept: what is allowed by both policies, by one of them,
and by none; beside them a few that connect to a name nobody allows. Prints, once, what came of each as
JSON: how many of each kind were answered how.
"""
import asyncio, collections, json, random, socket, ssl, sys, time

connections, seconds = int(sys.argv[1]), float(sys.argv[2])
end = time.monotonic() + seconds
counts = collections.Counter()
context = ssl.create_default_context()
KINDS = (("both", "GET", "/zen"), ("both", "GET", "/bytes/4000"), ("one", "GET", "/octocat"), ("none", "POST", "/x"))


async def answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length:")), 0)
    await reader.readexactly(length)
    return int(head.split(b" ")[1]), b"connection: close" in head.lower()


async def ask(stream, kind, method, path):
    body = b"{}" if method == "POST" else b""
    stream[1].write(f"{method} {path} HTTP/1.1\r\nHost: api.github.com\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    status, closes = await asyncio.wait_for(answer(stream[0]), 60)
    counts[f"{kind} {status}"] += 1
    return closes


async def client():
    stream = None
    while time.monotonic() < end:
        await asyncio.sleep(random.random() * 10)
        kind, method, path = random.choice(KINDS)
        try:
            if not stream:
                stream = await asyncio.wait_for(asyncio.open_connection("api.github.com", 443, ssl=context), 60)
            if await ask(stream, kind, method, path):
                stream[1].close()
                stream = None
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as e:
            counts[f"{kind} {'late' if isinstance(e, TimeoutError) else 'closed'}"] += 1
            if stream:
                stream[1].close()
            stream = None
    if stream:
        stream[1].close()


async def refused():
    while time.monotonic() < end:
        await asyncio.sleep(random.random())
        try:
            await asyncio.open_connection("evil.test", 7000, family=socket.AF_INET)
            counts["evil connected"] += 1
        except OSError:
            counts["evil refused"] += 1


async def main():
    await asyncio.gather(*(client() for _ in range(connections)), *(refused() for _ in range(4)))
    print(json.dumps(counts))


asyncio.run(main())
