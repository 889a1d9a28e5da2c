"""Linux's TCP over a line that loses packets: how late each message arrives.

Run in a network namespace: `unshare -n python -m tests.support.lossy_tcp LOSS CORRELATION RTT_MS`. A TUN
device leads to this process, which gives every packet back with its addresses swapped (that keeps its
checksum), half a round trip later, and loses those with data for the client by the chain of
`wsinspect.faults.lossy`. So what is left to compare is what TCP does about them. The kernel of a test machine
often has no `sch_netem`.
"""

from __future__ import annotations

import fcntl
import heapq
import json
import os
import random
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import defaultdict

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 1, 0x1000
_HERE, _THERE = "10.9.0.1", "10.9.0.2"
CONNECTIONS, MESSAGES, EVERY_S = 8, 250, 0.02
_SIZE = 100


def uniform(connection: int, number: int) -> float:
    """The random number for a transmission: the same for the kernel and for the model."""
    return random.Random(f"{connection} {number}").random()


class Chain:
    """Which transmissions are lost."""

    def __init__(self, loss: float, correlation: float, connection: int) -> None:
        self._loss, self._correlation, self._connection = loss, correlation, connection
        self._count = 0
        self._was_lost: bool | None = None

    def loses(self) -> bool:
        self._count += 1
        share = self._loss
        if self._was_lost is not None:
            share *= 1 - self._correlation
            share += self._correlation if self._was_lost else 0.0
        self._was_lost = uniform(self._connection, self._count) < share
        return self._was_lost


def reflect(device: int, port: int, loss: float, correlation: float, one_way_s: float) -> None:
    """Give every packet back, later or never."""
    chains: dict[int, Chain] = {}
    waiting: list[tuple[float, int, bytes]] = []
    count = 0
    while True:
        timeout = max(0.0, waiting[0][0] - time.monotonic()) if waiting else 1.0
        if select.select([device], [], [], timeout)[0]:
            packet = os.read(device, 65535)
            head = (packet[0] & 15) * 4
            if packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_TCP:
                continue
            source, target = struct.unpack_from("!HH", packet, head)
            length = struct.unpack_from("!H", packet, 2)[0] - head - (packet[head + 12] >> 4) * 4
            if source == port and length:
                chain = chains.setdefault(target, Chain(loss, correlation, len(chains)))
                if chain.loses():
                    continue
            swapped = packet[:12] + packet[16:20] + packet[12:16] + packet[20:]
            count += 1
            heapq.heappush(waiting, (time.monotonic() + one_way_s, count, swapped))
        while waiting and waiting[0][0] <= time.monotonic():
            os.write(device, heapq.heappop(waiting)[2])


def main(loss: float, correlation: float, rtt_s: float) -> dict[str, list[list[float]]]:
    """For each connection when each message was sent, and when it arrived, in seconds."""
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", b"lossy", _IFF_TUN | _IFF_NO_PI))
    for words in ("link set lo up", f"addr add {_HERE}/24 dev lossy", "link set lossy up"):
        subprocess.run(["ip", *words.split()], check=True)
    listener = socket.create_server((_HERE, 0), backlog=CONNECTIONS)
    port = listener.getsockname()[1]
    threading.Thread(target=reflect, args=(device, port, loss, correlation, rtt_s / 2), daemon=True).start()
    sent: dict[int, list[float]] = defaultdict(list)
    got: dict[int, list[float]] = defaultdict(list)

    def read(number: int, client: socket.socket) -> None:
        left = MESSAGES * _SIZE
        seen = 0
        while left and (data := client.recv(min(left, 65536))):
            now = time.monotonic()
            left -= len(data)
            seen += len(data)
            got[number] += [now] * (seen // _SIZE - len(got[number]))

    def write(number: int, server: socket.socket) -> None:
        for _ in range(MESSAGES):
            sent[number].append(time.monotonic())
            server.sendall(bytes(_SIZE))
            time.sleep(EVERY_S)

    threads, kept = [], []
    for number in range(CONNECTIONS):
        client = socket.create_connection((_THERE, port))
        server, _ = listener.accept()
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        kept += [client, server]
        threads += [threading.Thread(target=read, args=(number, client))]
        threads += [threading.Thread(target=write, args=(number, server))]
        # The first packet with data of each connection tells its chain's number.
        threads[-2].start()
        threads[-1].start()
        time.sleep(0.05)
    for thread in threads:
        thread.join(120)
    for one in kept:
        one.close()
    return {"sent": [sent[n] for n in range(CONNECTIONS)], "got": [got[n] for n in range(CONNECTIONS)]}


if __name__ == "__main__":
    print(json.dumps(main(float(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]) / 1000)))
