"""A conversation as lines for people, or as JSON objects: what a peer that is played by hand prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final

from wsinspect import decoders
from wsinspect.decoders import Payload
from wsinspect.decoders.as_json import content, json_members
from wsinspect.faults.frames import WireFrame
from wsinspect.filters import Filter
from wsinspect.peers.socket import Seen
from wsinspect.peers.talk import Ending, Expected
from wsinspect.present.terminal import Palette
from wsinspect.present.words import close_words
from wsinspect.text import escape, escape_lines
from wsinspect.units import format_duration, format_size
from wsinspect.wire.close_codes import parse_close
from wsinspect.wire.opcodes import Opcode, opcode_name

#: How much of a message is printed; the capture has all of it.
_MOST_TEXT: Final = 16 * 1024
_MOST_HEX: Final = 64
_MOST_JSON: Final = 1024 * 1024
_CLOCK_CELLS: Final = 12


class Printer:
    """Lines for people.

    Args:
        echo: prints a line.
        palette: colours.
    """

    def __init__(self, echo: Callable[[str], None], palette: Palette) -> None:
        self._echo = echo
        self._palette = palette

    def frame(self, seen: Seen) -> None:
        """A frame, with all that it says."""
        frame = seen.frame
        sign = ">" if seen.is_ours else "<"
        clock = datetime.fromtimestamp(seen.time_ns / 1e9).strftime("%H:%M:%S.%f")[:_CLOCK_CELLS]
        first, *rest = list(_said(seen)) or [""]
        self._echo(self._palette.direction(f"{clock}  {sign}  {first}".rstrip(), bool(frame.direction)))
        for line in rest:
            self._echo(self._palette.direction(f"{'':{_CLOCK_CELLS}}     {line}", bool(frame.direction)))

    def expected(self, expected: Expected) -> None:
        """What came of waiting."""
        self._echo(
            f"{'':{_CLOCK_CELLS}}  {'=' if expected.frame is not None else '!'}  {expected_words(expected)}"
        )


def _said(seen: Seen) -> Iterator[str]:
    frame = seen.frame
    name = opcode_name(frame.opcode)
    if frame.opcode == Opcode.CLOSE:
        yield f"CLOSE {close_words(*parse_close(frame.payload))}"
        return
    if frame.is_control:
        rtt = f"  rtt {format_duration(seen.rtt_ns)}" if seen.rtt_ns is not None else ""
        said = f" {_short(frame.payload)}" if frame.payload else ""
        yield f"{name}{said}{rtt}"
        return
    if not frame.fin:
        yield f"{name} {format_size(frame.length)}  (more follow)"
        return
    body = frame.body
    words = decoders.summary(_payload(frame))
    said = f"  [{escape(words)}]" if words else ""
    pieces = f"  ({frame.fragment} fragments)" if frame.fragment is not None else ""
    opcode = frame.message.opcode if frame.message is not None else frame.opcode
    if opcode != Opcode.TEXT:
        yield f"{opcode_name(opcode)} {format_size(len(body))}  {_hex(body)}{pieces}{said}"
        return
    lines = escape_lines(body[:_MOST_TEXT].decode("utf-8", "backslashreplace"))
    if len(body) > _MOST_TEXT:
        lines.append(f"and {format_size(len(body) - _MOST_TEXT)} more")
    if not body:
        lines = ["TEXT 0 B"]
    lines[-1] += pieces + said
    yield from lines


def _payload(frame: WireFrame) -> Payload:
    opcode = frame.message.opcode if frame.message is not None else frame.opcode
    facts = frame.connection
    is_s2c = bool(frame.direction)
    return Payload(frame.body, opcode == Opcode.TEXT, facts.subprotocol, facts.path or "", is_s2c)


def _short(data: bytes) -> str:
    try:
        return escape(data.decode())
    except UnicodeDecodeError:
        return _hex(data)


def _hex(data: bytes) -> str:
    return data[:_MOST_HEX].hex(" ") + (" …" if len(data) > _MOST_HEX else "")


def expected_words(expected: Expected) -> str:
    """A sentence about a wait."""
    after = format_duration(expected.after_ns)
    what = escape(expected.filter.source)
    if expected.frame is not None:
        return f"expected {what}: came after {after}"
    if expected.has_ended:
        return f"expected {what}: the connection ended without it"
    return f"expected {what}: not within {after}"


def ending_words(ending: Ending) -> str:
    """A sentence about the end."""
    if ending.server is None:
        if ending.has_aborted:
            return "you ended the connection with an RST, without a closing handshake"
        if ending.how is None:
            return "closed; the server did not answer the CLOSE"
        how = "RST" if ending.how == "rst" else "FIN"
        return f"the server ended the connection without a CLOSE frame ({how}); JavaScript would see 1006"
    who = "you" if ending.by_us else "the server"
    code = ending.client if ending.by_us and ending.client is not None else ending.server
    answer = ""
    if ending.by_us and ending.server != ending.client and ending.server[0] != code[0]:
        answer = f"; the server answered {close_words(*ending.server)}"
    return f"closed by {who}: {close_words(*code)}{answer}"


def frame_object(seen: Seen) -> dict[str, Any]:
    """A frame as a JSON object; the names of `run --json --frames`."""
    frame = seen.frame
    found: dict[str, Any] = {
        "event": "frame",
        "time_ns": seen.time_ns,
        "direction": "s2c" if frame.direction else "c2s",
        "opcode": frame.opcode,
        "op": opcode_name(frame.opcode),
        "fin": frame.fin,
        "length": frame.length,
    }
    if frame.is_control:
        found["payload"] = content(frame.payload)
        if frame.opcode == Opcode.CLOSE:
            code, reason = parse_close(frame.payload)
            found["close"] = {"code": code, "reason": reason}
        if seen.rtt_ns is not None:
            found["rtt_ns"] = seen.rtt_ns
    elif frame.fin:
        body, opcode = frame.body, frame.opcode if frame.message is None else frame.message.opcode
        is_cut = len(body) > _MOST_JSON
        payload = content(body[:_MOST_JSON], is_cut=is_cut, is_binary=opcode == Opcode.BINARY)
        found |= {"message_length": len(body), "payload": payload}
        found |= {"cut": True} if is_cut else json_members(body)
        found["summary"] = decoders.summary(_payload(frame))
    return found


def expected_object(expected: Expected) -> dict[str, Any]:
    """What came of waiting."""
    return {
        "event": "expected",
        "filter": expected.filter.source,
        "held": expected.frame is not None,
        "after_ns": expected.after_ns,
        "ended": expected.has_ended,
    }


def ending_object(ending: Ending) -> dict[str, Any]:
    """The facts of an end as a JSON object."""
    client, server = (
        None if one is None else {"code": one[0], "reason": one[1]} for one in (ending.client, ending.server)
    )
    by = "client" if ending.by_us or (ending.has_aborted and ending.server is None) else "server"
    return {"event": "close", "ended_by": by, "how": ending.how, "client": client, "server": server}


__all__ = [
    "Filter",
    "Printer",
    "ending_object",
    "ending_words",
    "expected_object",
    "expected_words",
    "frame_object",
]
