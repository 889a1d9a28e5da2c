"""The values that go into a decoder and come out of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from wsinspect.decoders.limits import MAX_HEX, MAX_SUMMARY, MAX_TEXT

_NAME_CELLS: Final = 12


class Malformed(ValueError):
    """Bytes that are not what the protocol says; kept inside of this package.

    Args:
        words: what is wrong.
    """


class Payload(NamedTuple):
    """A message and what is known of its connection.

    Attributes:
        data: unmasked and inflated.
        is_text: a text message.
        subprotocol: the agreed one.
        path: of the handshake's request, with its query.
        is_s2c: sent by the server.
        is_whole: false where `data` is only how the message begins.
    """

    data: bytes
    is_text: bool = True
    subprotocol: str | None = None
    path: str = ""
    is_s2c: bool = False
    is_whole: bool = True

    @property
    def text(self) -> str:
        """The bytes as text, those that are not UTF-8 as `\\xff`."""
        return self.data.decode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class Decoded:
    """A message taken apart.

    Attributes:
        lines: plain text, as the peer sent it, one thing a line.
        problem: what could not be read, in words; None where all of it was.
    """

    lines: tuple[str, ...]
    problem: str | None = None


@dataclass(frozen=True)
class Decoder:
    """One way to read payloads.

    Attributes:
        name: shown as its tab.
        fits: whether a payload is this protocol's, by subprotocol, path or content; of `data` it may use what
            there is.
        lines: the payload, one piece per line; raises `Malformed` where it cannot continue.
        summary: the payload in a few words; None where there is nothing to say. It may be given a payload
            that is not whole.
        is_sure: whether `fits` leaves little doubt, so that this is the view to begin with.
        is_named: whether an agreed subprotocol and a path name it, or may: `fits` is asked about each then.
        begins: the first bytes of payloads that are its own though nothing names it. None: `fits` is asked
            about each.
        signs: one of these is in each of those payloads; empty: nothing is sure to be.
    """

    name: str
    fits: Callable[[Payload], bool]
    lines: Callable[[Payload], Iterator[str]]
    summary: Callable[[Payload], str | None]
    is_sure: bool = True
    is_named: Callable[[str | None, str], bool] = lambda subprotocol, path: False
    begins: bytes | None = None
    signs: tuple[bytes, ...] = ()

    def signs_in(self, subprotocol: str | None, path: str, first: bytes) -> tuple[bytes, ...] | None:
        """One of these is in a payload that it fits and that has this first byte (empty: that has no bytes).

        None: no payload that begins so is its own.
        """
        if self.begins is None or self.is_named(subprotocol, path):
            return ()
        return self.signs if first and first in self.begins else None


def field(name: str, value: object) -> str:
    """A line of a name and what it is."""
    return f"{name:<{_NAME_CELLS}}{shorten(str(value))}"


def shorten(text: str, most: int = MAX_TEXT) -> str:
    """A text that is not longer than that."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


def brief(text: str, most: int = MAX_SUMMARY) -> str:
    """A text for a summary, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def show_bytes(data: bytes) -> str:
    """Bytes as text where they are printable UTF-8, else as hex."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
    if text and text.isprintable():
        return shorten(text)
    more = f" … ({len(data)} bytes)" if len(data) > MAX_HEX else ""
    return data[:MAX_HEX].hex(" ") + more
