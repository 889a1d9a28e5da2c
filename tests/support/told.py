"""What the readers of HTTP/1.1 and HTTP/2 tell of the WebSockets in a connection, as lines."""

from __future__ import annotations

from collections import defaultdict


class Told:
    """A `http1.Story` that keeps everything.

    Attributes:
        streams: the bytes after the opening handshakes, by number and side.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._count = 0
        self.streams: dict[int, list[bytes]] = defaultdict(lambda: [b"", b""])

    def lines(self) -> list[str]:
        """One for each call; those of bodies and messages that follow each other are one."""
        found: list[str] = []
        joined: dict[str, bytes] = {}
        for line in self._lines:
            name = " ".join(line.split()[:2])
            if " body " in line:
                data = joined[name] = joined.get(name, b"") + bytes.fromhex(line.split()[-1])
                line = f"{name} {data!r}"
                if found and found[-1].startswith(name) and len(found[-1]) <= len(line):
                    found[-1] = line
                    continue
            found.append(line)
        return found

    def attempt(self, head: bytes, time_ns: int, stream: int | None = None) -> int:
        self._count += 1
        at = "" if stream is None else f" on {stream}"
        self._lines.append(f"{self._count} attempt{at} {head!r}")
        return self._count

    def informational(self, number: int, head: bytes, time_ns: int) -> None:
        self._lines.append(f"{number} informational {head!r}")

    def answer(self, number: int, head: bytes, time_ns: int, *, is_open: bool) -> None:
        self._lines.append(f"{number} {'open' if is_open else 'refused'} {head!r}")

    def body(self, number: int, data: bytes, time_ns: int) -> None:
        self._lines.append(f"{number} body {data.hex()}")

    def message(self, number: int, side: int, data: bytes, time_ns: int) -> None:
        self.streams[number][side] += data

    def hole(self, number: int, side: int, size: int, time_ns: int) -> None:
        self._lines.append(f"{number} hole {side} {size}")

    def ended(self, number: int, side: int, how: str, time_ns: int, http2: str | None = None) -> None:
        self._lines.append(f"{number} ended {side} {how} {http2}")

    def failed(self, number: int, error: str, time_ns: int) -> None:
        self._lines.append(f"{number} failed {error}")

    def closed(self, number: int, time_ns: int) -> None:
        self._lines.append(f"{number} closed")
