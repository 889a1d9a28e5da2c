"""A client that copes with a ready scenario and one that does not, at once: `ready_clients SCENARIO URL`.

The good one, the same in all scenarios but for its patience, backs off with jitter, obeys Retry-After, stops
at 401 and 4401, has a heartbeat, sends a message again until it is acknowledged, and acts on an item once.
What the bad one lacks is in `BAD`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus


@dataclass(frozen=True, kw_only=True)
class Habits:
    """What a client does.

    Attributes:
        fixed: seconds between its tries; None backs off.
        beat: seconds between two PINGs, and for how long it waits for the answer.
        most: how often it connects.
        keeps_old: a connection without an answer stays, and a new one comes beside it.
        asks: bytes that the server is to send.
    """

    fixed: float | None = None
    obeys: bool = True
    beat: tuple[float, float] | None = (0.3, 1.2)
    most: int = 1000
    resends: bool = True
    acts_once: bool = True
    keeps_old: bool = False
    asks: int = 8_000


GOOD = Habits()
#: It survives the tunnel: it waits longer than that lasts.
PATIENT = Habits(beat=(0.3, 10.0))
BAD = {
    "duplicate-delivery": Habits(acts_once=False),
    "half-open": Habits(beat=None),
    "idle-limit": Habits(beat=None),
    "laptop-sleep": Habits(most=1),
    "lost-message": Habits(resends=False),
    "rolling-restart": Habits(fixed=0.25),
    "server-deploy": Habits(fixed=0.3, obeys=False),
    "slow-consumer": Habits(beat=(0.2, 0.3), asks=60_000),
    "token-expired": Habits(fixed=0.25, obeys=False),
    "train-tunnel": Habits(beat=(0.1, 0.2), keeps_old=True),
    "wifi-to-mobile": Habits(beat=None),
}
#: Of the delay, in turns: jitter that is the same in each run.
JITTER = (1.3, 0.7, 1.35, 0.75, 1.2, 0.8)


class Client:
    """One of them."""

    def __init__(self, url: str, habits: Habits) -> None:
        self.url, self.habits = url, habits
        self.unacknowledged: dict[int, str] = {}
        self.seen: set[int] = set()
        self.old: list[ClientConnection] = []

    async def run(self) -> None:
        """Connect, and again whenever it is over."""
        failures = itertools.count()
        for _ in range(self.habits.most):
            least = 0.0
            try:
                socket = await connect(
                    self.url, open_timeout=1, close_timeout=0.2, ping_interval=None, compression=None
                )
                failures = itertools.count()
                await self.talk(socket)
                if socket.close_code == 4401 and self.habits.obeys:
                    break
            except InvalidStatus as error:
                if error.response.status_code == 401 and self.habits.obeys:
                    break
                least = float(error.response.headers.get("Retry-After", 0)) if self.habits.obeys else 0.0
            except (ConnectionClosed, InvalidHandshake, OSError, TimeoutError):
                pass
            count = next(failures)
            delay = min(4.0, 0.2 * 2**count) * JITTER[count % len(JITTER)]
            await asyncio.sleep(self.habits.fixed or least + delay)
        await asyncio.Event().wait()

    async def talk(self, socket: ClientConnection) -> None:
        """Until the connection is over, or seems to be."""
        await socket.send(json.dumps({"type": "hello", "bytes": self.habits.asks}))
        jobs = [asyncio.create_task(self.read(socket)), asyncio.create_task(self.write(socket))]
        if self.habits.beat is not None:
            jobs.append(asyncio.create_task(self.watch(socket, *self.habits.beat)))
        done, rest = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        is_dead = jobs[-1] in done and self.habits.beat is not None
        if is_dead and self.habits.keeps_old:
            self.old.append(socket)
            self.habits = Habits(beat=None)
            return
        for job in rest:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        await socket.close()

    async def watch(self, socket: ClientConnection, every: float, patience: float) -> None:
        """Return when a PING has no answer in time."""
        with contextlib.suppress(TimeoutError, ConnectionClosed):
            while True:
                await asyncio.wait_for(await socket.ping(), patience)
                await asyncio.sleep(every)

    async def read(self, socket: ClientConnection) -> None:
        async for text in socket:
            message: dict[str, Any] = json.loads(text)
            number = message.get("id", 0)
            if message["type"] == "ack":
                self.unacknowledged.pop(number, None)
            elif message["type"] == "item" and not (self.habits.acts_once and number in self.seen):
                self.seen.add(number)
                await socket.send(json.dumps({"type": "done", "id": number}))

    async def write(self, socket: ClientConnection) -> None:
        """Four messages, and those again that nobody acknowledges."""
        for number in range(1, 5):
            self.unacknowledged.setdefault(number, json.dumps({"type": "order", "id": number}))
            await socket.send(self.unacknowledged[number])
        while True:
            await asyncio.sleep(0.7)
            for text in list(self.unacknowledged.values()) if self.habits.resends else ():
                await socket.send(text)


async def main(scenario: str, url: str) -> None:
    """Both at once; the path says which is which."""
    await asyncio.gather(
        Client(f"{url}/good", PATIENT if scenario == "train-tunnel" else GOOD).run(),
        Client(f"{url}/bad", BAD[scenario]).run(),
    )


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
