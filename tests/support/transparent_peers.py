"""Client and server of the transparent proxy's test, each started inside its own network namespace.

`server WS WSS RAW CHAIN KEY` prints "ready", serves until its stdin ends, then prints what it saw as JSON.
`client WS WSS RAW` talks to 10.78.0.2 and prints what it saw as JSON.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import socket
import ssl
import struct
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from wsinspect.closing import abort

HOST = "10.78.0.2"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_KEY = base64.b64encode(bytes(16))
_ACCEPT = base64.b64encode(hashlib.sha1(_KEY + _GUID).digest())
seen: dict[str, object] = {}


async def echo(connection) -> None:
    async for message in connection:
        await connection.send(message)


def reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    abort(writer.transport)


async def how_it_ends(reader: asyncio.StreamReader) -> str:
    """What is left to read as text, else "fin" or "rst"."""
    try:
        return (await reader.read()).decode("latin-1") or "fin"
    except ConnectionResetError:
        return "rst"


async def raw_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + _ACCEPT + b"\r\n\r\n"
    )
    await writer.drain()
    case = head.split()[1].decode()[1:]
    if case == "half-close":
        await reader.read()
        writer.write(b"\x82\x0dafter the FIN")
    elif case == "client-rst":
        seen[case] = await how_it_ends(reader)
    elif case == "rst":
        reset(writer)
    writer.close()


async def run_server(ports: list[int], chain: str, key: str) -> None:
    ws, wss, raw = ports
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    async with (
        serve(echo, HOST, ws, max_size=None),
        serve(echo, HOST, wss, ssl=context, max_size=None),
        await asyncio.start_server(raw_server, HOST, raw),
    ):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
    print(json.dumps(seen), flush=True)


async def converse(url: str, context: ssl.SSLContext | None) -> dict[str, object]:
    async with connect(url, ssl=context, max_size=None, proxy=None) as client:
        await client.send("hello")
        text = await client.recv()
        await client.send(bytes(100_000))
        size = len(await client.recv())
    return {"text": text, "bytes": size, "code": client.close_code}


async def raw_client(port: int, case: str) -> str:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(
        b"GET /%s HTTP/1.1\r\nHost: server.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n" % (case.encode(), _KEY)
    )
    await reader.readuntil(b"\r\n\r\n")
    if case == "client-rst":
        reset(writer)
        return ""
    if case == "half-close":
        writer.write_eof()
    told = await how_it_ends(reader)
    writer.close()
    return told.removeprefix("\x82\x0d")


async def run_client(ws: int, wss: int, raw: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    told = {
        "ws": await converse(f"ws://{HOST}:{ws}/", None),
        "wss": await converse(f"wss://{HOST}:{wss}/", context),
        "raw": {case: await raw_client(raw, case) for case in ("fin", "rst", "half-close")},
    }
    await raw_client(raw, "client-rst")
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    role, *words = sys.argv[1:]
    ports = [int(word) for word in words[:3]]
    asyncio.run(run_server(ports, *words[3:]) if role == "server" else run_client(*ports))
