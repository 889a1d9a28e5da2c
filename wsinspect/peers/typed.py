"""What is typed into `wsinspect connect`, a line at a time: messages, and commands that begin with a slash.

Sans-I/O. A line is a text message unless it begins with `/` or `@`; `//` and `@@` send one of them.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wsinspect.errors import UsageError
from wsinspect.filters import parse
from wsinspect.units import QuantityError, parse_duration
from wsinspect.wire.close_codes import is_legal_on_wire
from wsinspect.wire.opcodes import Opcode

if TYPE_CHECKING:
    from wsinspect.filters import Filter

#: RFC 6455 section 5.5: a control frame's payload has at most 125 bytes.
MAX_CONTROL: Final = 125
#: Filter keys about what comes after a frame: nothing to wait for.
_LATE: Final = frozenset(("rtt", "finding", "sev", "close", "fault"))
#: For help and completion: how a command is written, and what it does.
HELP: Final[dict[str, str]] = {
    "/ping [TEXT]": "send a PING; its PONG is shown with the round-trip time",
    "/pong [TEXT]": "send a PONG that nobody asked for",
    "/binary HEX": "send a binary message, such as /binary 00 01 ff",
    "/json JSON": "send a text message, only if it is JSON",
    "/file PATH": "send a file: as text where it is UTF-8, else binary; @PATH does the same",
    "/expect FILTER": "wait for a frame that passes (within --within); fail if none comes",
    "/wait DURATION": "wait, such as /wait 500ms",
    "/close [CODE [REASON]]": "close, with 1000 by default",
    "/abort": "end with an RST, without a CLOSE frame",
    "/help": "show this",
    "/quit": "close with 1000, and leave",
}


@dataclass(frozen=True)
class Say:
    """Send a message or a control frame.

    Attributes:
        opcode: TEXT, BINARY, PING or PONG.
        text: as typed, its placeholders not filled; None where `data` is sent as it is.
    """

    opcode: Opcode
    text: str | None = None
    data: bytes = b""
    must_be_json: bool = False


@dataclass(frozen=True)
class SayFile:
    """Send what is in a file: as text where it is UTF-8, unless it is to be binary."""

    path: Path
    is_binary: bool = False


@dataclass(frozen=True)
class Expect:
    """Wait for a frame that passes."""

    filter: Filter


@dataclass(frozen=True)
class Wait:
    """Wait for so many nanoseconds."""

    for_ns: int


@dataclass(frozen=True)
class Close:
    """Begin a closing handshake; code None sends a CLOSE without one."""

    code: int | None = 1000
    reason: str = ""


@dataclass(frozen=True)
class Abort:
    """End without a CLOSE frame."""


@dataclass(frozen=True)
class Help:
    """Show which commands there are."""


Command = Say | SayFile | Expect | Wait | Close | Abort | Help


def parse_line(line: str) -> Command | None:
    """What a line asks for; None for an empty one.

    Raises:
        UsageError: the line cannot be read; it says what to type.
    """
    if not line:
        return None
    if line.startswith(("//", "@@")):
        return Say(Opcode.TEXT, line[1:])
    if line.startswith("@"):
        return SayFile(Path(line[1:]).expanduser())
    if not line.startswith("/"):
        return Say(Opcode.TEXT, line)
    name, _, rest = line[1:].partition(" ")
    return _command(name, rest)


def _command(name: str, rest: str) -> Command:
    if name in ("ping", "pong"):
        return Say(Opcode.PING if name == "ping" else Opcode.PONG, rest)
    if name == "binary":
        return _binary(rest.strip())
    if name == "json":
        return Say(Opcode.TEXT, rest, must_be_json=True)
    if name == "file":
        if not rest.strip():
            raise UsageError("/file needs a path")
        return SayFile(Path(rest.strip()).expanduser())
    if name == "expect":
        return Expect(parse_expectation(rest))
    if name == "wait":
        try:
            return Wait(parse_duration(rest.strip()))
        except QuantityError as error:
            raise UsageError(f"/wait: {error}") from None
    if name == "close":
        return parse_close_line(rest)
    if name in ("abort", "help", "quit"):
        if rest.strip():
            raise UsageError(f"/{name} takes nothing")
        return Abort() if name == "abort" else Help() if name == "help" else Close()
    names = [words.split()[0] for words in HELP]
    close = difflib.get_close_matches(f"/{name}", names, 1)
    guess = f"did you mean {close[0]}?" if close else "/help lists them;"
    raise UsageError(f"unknown command /{name[:40]}", hint=f"{guess} //{name[:40]} sends it as text")


def _binary(words: str) -> Command:
    if words.startswith("@"):
        return SayFile(Path(words[1:]).expanduser(), is_binary=True)
    try:
        return Say(Opcode.BINARY, data=bytes.fromhex(words))
    except ValueError:
        raise UsageError("/binary needs pairs of hexadecimal digits, such as /binary 00 01 ff") from None


def parse_expectation(text: str) -> Filter:
    """A filter to wait with: not an empty one, and none about what comes after a frame.

    Raises:
        UsageError: it is no such filter.
    """
    flt = parse(text)
    if flt.is_empty:
        raise UsageError("nothing to expect: the filter is empty", hint="op:text waits for any text message")
    if late := flt.keys & _LATE:
        raise UsageError(f"`{min(late)}` is not known yet when a frame comes: expect something else")
    return flt


def parse_close_line(text: str) -> Close:
    """`1001 going away`; nothing is 1000, `-` a CLOSE without a code.

    Raises:
        UsageError: no endpoint may send that.
    """
    word, _, reason = text.strip().partition(" ")
    if not word:
        return Close()
    if word == "-" and not reason:
        return Close(None)
    if not word.isascii() or not word.isdigit() or not is_legal_on_wire(int(word[:9])):
        raise UsageError(
            f"{word[:40]!r} is not a close code to send", hint="1000, 1001, 1003, 1007 to 1014, 3000 to 4999"
        )
    reason = reason.strip()
    if len(reason.encode()) > MAX_CONTROL - 2:
        raise UsageError(f"a close reason has at most {MAX_CONTROL - 2} bytes")
    return Close(int(word), reason)


def check_json(text: str) -> None:
    """Refuse text that is not JSON.

    Raises:
        UsageError: with the place.
    """
    try:
        json.loads(text)
    except ValueError as error:
        raise UsageError(f"not JSON: {error}") from None
    except RecursionError:
        raise UsageError("not JSON: nested too deeply") from None
