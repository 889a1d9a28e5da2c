"""An echo server as a process, fast enough to measure against: prints its port, runs until it is killed."""

from __future__ import annotations

import asyncio

from wsinspect.handshake.negotiation import accept_key
from wsinspect.replay.common.conduit import Conduit, Listener
from wsinspect.replay.common.incoming import MessageReceiver
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.opcodes import Direction

UPGRADE = b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "


class Echo(Listener):
    def __init__(self, conduit: Conduit) -> None:
        self.conduit, self.receiver = conduit, MessageReceiver(Direction.CLIENT_TO_SERVER)

    def on_data(self, data: bytes) -> None:
        self.conduit.write(
            b"".join(serialize_frame(one.opcode, one.data) for one in self.receiver.feed(data))
        )


async def serve(conduit: Conduit) -> None:
    head = await conduit.head()
    if head is not None:
        conduit.write(UPGRADE + accept_key(head.get("sec-websocket-key") or b"") + b"\r\n\r\n")
        conduit.listen(Echo(conduit))


async def main() -> None:
    tasks = []

    def accept() -> Conduit:
        conduit = Conduit()
        tasks.append(asyncio.get_running_loop().create_task(serve(conduit)))
        return conduit

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
