"""A page at a public address, and the doctor that is asked about it, where nothing is public.

Run in a network namespace: `unshare -n python -m tests.support.public_page FOLDER SCHEME HOST`. Its loopback
gets an address that Chromium takes for public, and nothing leads out of it. The page at SCHEME opens a
WebSocket at HOST, the public address or a loopback one. Prints what `doctor --json` printed, and its exit
code.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from tests.support.certs import make_certificates
from tests.support.doctor_lab import http, is_upgrade, pongs, switching
from wsinspect.handshake.heads import RawHead

PUBLIC = "93.184.215.14"
PORT, WS_PORT = 8443, 8080


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, page: bytes) -> None:
    head = RawHead.parse(await reader.readuntil(b"\r\n\r\n"))
    if is_upgrade(head):
        writer.write(switching(head))
        await pongs(reader, writer)
    else:
        writer.write(http("200 OK", page, Content_Type="text/html", Connection="close"))
    await writer.drain()
    writer.close()


async def _main(folder: Path, scheme: str, host: str) -> None:
    certificates = make_certificates(folder / "certificates", (PUBLIC,))
    tls = certificates.server_context() if scheme == "https" else None
    script = f"<!doctype html><link rel=icon href='data:,'><script>new WebSocket('ws://{host}:{WS_PORT}/ws')</script>"
    text = script.replace("ws://", "wss://").encode() if tls and host == PUBLIC else script.encode()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _answer(reader, writer, text)
        except (OSError, asyncio.IncompleteReadError):
            writer.close()

    page = await asyncio.start_server(play, PUBLIC, PORT, ssl=tls)
    other = await asyncio.start_server(play, host, WS_PORT, ssl=tls if host == PUBLIC else None)
    async with page, other:
        words = ["doctor", f"{scheme}://{PUBLIC}:{PORT}/", "--json", "--wait", "4s"]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "wsinspect", *words, "--ca", str(certificates.ca)),
            stdout=subprocess.PIPE,
        )
        out, _ = await process.communicate()
    print(json.dumps({"code": process.returncode, "told": json.loads(out)}))


if __name__ == "__main__":
    for line in ("link set lo up", f"addr add {PUBLIC}/32 dev lo"):
        subprocess.run(["ip", *line.split()], check=True)
    asyncio.run(_main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
