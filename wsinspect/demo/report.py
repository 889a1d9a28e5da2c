"""What the demo showed, read from its capture: connections, frames, round trips, the refusal, the 1006.

Sans-I/O but for the capture; every text that came over the wire is escaped here.
"""

from __future__ import annotations

import statistics
from collections import Counter
from typing import TYPE_CHECKING

from wsinspect.handshake.heads import RawHead
from wsinspect.present.words import end_words, javascript_words
from wsinspect.text import escape, escape_bytes
from wsinspect.units import format_duration
from wsinspect.wire.opcodes import Direction, opcode_name

if TYPE_CHECKING:
    from wsinspect.capture.reader import Capture
    from wsinspect.capture.records import Connection, FrameRow

PAGE = 1000


def report(capture: Capture) -> list[str]:
    """The lines of the summary, one block a connection, in the order of the attempts."""
    lines: list[str] = []
    for connection in capture.connections():
        lines.append(_title(connection))
        if connection.state == "refused":
            lines += _refusal(capture, connection)
        else:
            lines += _traffic(capture, connection)
            lines.append(_end(connection))
    return lines


def _title(connection: Connection) -> str:
    tap, url = escape(connection.tap or "-"), escape(connection.url)
    return f"connection {connection.id}  {tap}  {url}  {connection.state}"


def _refusal(capture: Capture, connection: Connection) -> list[str]:
    handshake = capture.handshake(connection.id)
    request = RawHead.parse((handshake and handshake.request_out) or b"")
    response = RawHead.parse((handshake and handshake.response_in) or b"")
    asked = escape_bytes(request.get("Upgrade") or b"(nothing)")
    answer = escape_bytes(response.start_line.partition(b" ")[2])
    lines = [f"  refused: {answer}; the request left the proxy with Upgrade: {asked}"]
    if handshake and handshake.body:
        lines.append(f"  the answer says: {escape_bytes(handshake.body.strip())}")
    return lines


def _traffic(capture: Capture, connection: Connection) -> list[str]:
    frames = all_frames(capture, connection.id)
    lines = [f"  101 with {escape(connection.extensions or 'no extension')}"]
    for direction in Direction:
        kinds = Counter(opcode_name(frame.opcode) for frame in frames if frame.direction == direction)
        size = connection.c2s_bytes if direction is Direction.CLIENT_TO_SERVER else connection.s2c_bytes
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        lines.append(f"  {direction.arrow}  {kinds.total()} frames, {size} bytes: {counts or 'none'}")
    return lines + _round_trips(capture, connection)


def all_frames(capture: Capture, connection_id: int) -> list[FrameRow]:
    """The frames of one connection, without their payloads."""
    found: list[FrameRow] = []
    while page := capture.frames(
        connection_id, after=found[-1].id if found else 0, limit=PAGE, payload_limit=0
    ):
        found += page
    return found


def _round_trips(capture: Capture, connection: Connection) -> list[str]:
    pings = capture.pings(connection.id)
    lines = []
    for leg in ("client", "server"):
        times = [ping.rtt_ns for ping in pings if ping.leg == leg and ping.rtt_ns is not None]
        if times:
            middle, most = map(format_duration, (round(statistics.median(times)), max(times)))
            lines.append(f"  {len(times)} pings to the {leg} and back: p50 {middle}, at most {most}")
    return lines


def _end(connection: Connection) -> str:
    seen = f"JavaScript sees {javascript_words(connection)}"
    return f"  ended: {end_words(connection)}; {seen}"
