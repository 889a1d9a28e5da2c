"""A hop that ends WebSockets and begins new ones, as a process: `python -m tests.support.relay_hop`.

It makes a key of its own, answers pings itself, and treats messages as its options say: it buffers, loses,
cuts into other fragments, compresses or not, closes.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import CloseCode
from websockets.protocol import State
from websockets.typing import Origin, Subprotocol

from tests.support.hops import LOOPBACK, Hop
from tests.support.small_servers import free_port

Message = str | bytes
Peer = ServerConnection | ClientConnection
_PASSED_ON = ("User-Agent", "Cookie", "X-Who")


class Relay:
    """What the hop does.

    Args:
        options: see `parser`.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options

    async def handle(self, client: ServerConnection) -> None:
        request = client.request
        assert request is not None
        options = self.options
        extensions = [ClientPerMessageDeflateFactory(server_max_window_bits=12)] if options.deflate else None
        origin = request.headers.get("Origin")
        async with connect(
            f"ws://{LOOPBACK}:{options.origin}{options.path or request.path}",
            compression=None,
            extensions=extensions,
            additional_headers=[(n, v) for n, v in request.headers.raw_items() if n in _PASSED_ON],
            user_agent_header=None,
            origin=Origin(origin) if origin else None,
            subprotocols=[Subprotocol(client.subprotocol)] if client.subprotocol else None,
            ping_interval=None,
            proxy=None,
        ) as server:
            await asyncio.gather(self.pump(client, server, False), self.pump(server, client, True))

    async def pump(self, source: Peer, target: Peer, is_s2c: bool) -> None:
        """One direction until it ends; the other side is closed like it, or as the options say."""
        options = self.options
        held: list[Message] = []
        number = 0
        try:
            while True:
                message = await asyncio.wait_for(source.recv(), options.idle)
                number += 1
                if options.swallow and number > options.swallow and not is_s2c:
                    continue
                if options.lose and number % options.lose == 0:
                    continue
                if options.swallow and is_s2c and target.state is not State.OPEN:
                    continue  # nobody to send it to, and the server is not told
                if options.change and number % options.change == 0:
                    message = message[::-1]
                held.append(message)
                if options.swap and len(held) < 2:
                    continue
                if options.swap:
                    held.reverse()
                if is_s2c and len(held) < options.buffer:
                    continue
                # What a TLS library has read ahead is not there for who asks the socket alone.
                kept = held.pop() if options.behind and is_s2c else None
                for one in held:
                    await target.send(self.cut(one))
                held = [] if kept is None else [kept]
        except ConnectionClosed as closed:
            if options.swallow and not is_s2c:
                return  # the server hears nothing of it
            for one in () if options.behind else held:
                await target.send(one)
            code = closed.rcvd.code if closed.rcvd else CloseCode.BAD_GATEWAY
            await target.close(options.code or code, closed.rcvd.reason if closed.rcvd else "")
        except TimeoutError:
            for peer in (source, target):
                peer.transport.abort()

    def cut(self, message: Message) -> Message | AsyncIterator[Message]:
        """The message, or parts of it, each of which becomes a frame."""
        size = self.options.fragment
        if not size:
            return message

        async def parts() -> AsyncIterator[Message]:
            for start in range(0, len(message), size):
                yield message[start : start + size]

        return parts()


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    made.add_argument("port", type=int)
    made.add_argument("origin", type=int)
    made.add_argument("--buffer", type=int, default=1, help="server's messages that are sent on together")
    made.add_argument("--behind", action="store_true", help="keep each of the server's until its next one")
    made.add_argument("--lose", type=int, default=0, help="lose every nth message")
    made.add_argument("--change", type=int, default=0, help="turn every nth message round")
    made.add_argument("--swap", action="store_true", help="send each second message before the first")
    made.add_argument(
        "--swallow", type=int, default=0, help="pass on this many of the client's messages alone"
    )
    made.add_argument("--fragment", type=int, default=0, help="send fragments of this size")
    made.add_argument("--deflate", action="store_true", help="compress towards the server")
    made.add_argument("--idle", type=float, default=None, help="seconds of one side's silence it bears")
    made.add_argument("--code", type=int, default=0, help="close with this code instead")
    made.add_argument("--path", default="", help="ask the server for this path")
    return made


def relay_hop(folder: Path, origin: int, *options: str) -> Hop:
    """A running one in front of `origin`."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [sys.executable, "-m", "tests.support.relay_hop", str(port), str(origin), *options]
    root = str(Path(__file__).resolve().parents[2])
    return Hop.start(["env", f"PYTHONPATH={root}", *command], port, folder)


async def main() -> None:
    options = parser().parse_args()
    async with serve(Relay(options).handle, LOOPBACK, options.port, compression=None, ping_interval=None):
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main())
