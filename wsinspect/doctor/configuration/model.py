"""What each reader of a configuration says, whatever the software: a place, what is wrong there, how to
mend it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, Protocol

from wsinspect.doctor.configuration.sources import Sources
from wsinspect.doctor.target import Target

#: Words of a defect of the kind "credentials" that is about a token in the URL.
DROPS_QUERY: Final = "drops the query"
#: What a defect breaks: the upgrade, HTTP/2 to the server, a Sec-WebSocket header, Host, another header or
#: credentials, the path, which server is asked, the 101; "silent": nobody answers; "answer": the hop
#: answers by itself; "cover": it puts a page with another status in the place of the server's answer;
#: "covered": a page with the same one; "tls": TLS ends before a request; "certificate": a client has to
#: have one; "size": the headers are too large; "upstream": where it is passed to; "preamble": the hop sends
#: something in front of the request, which the server has to expect; the rest are limits.
Kind = Literal[
    "upgrade",
    "h2",
    "websocket",
    "host",
    "credentials",
    "path",
    "route",
    "response",
    "silent",
    "answer",
    "cover",
    "covered",
    "slash",
    "tls",
    "certificate",
    "size",
    "upstream",
    "preamble",
    "idle",
    "lifetime",
    "handshake",
    "reload",
]
#: What limits are raised to, in seconds: longer than any heartbeat, and an end to connections that died.
RAISED_SECONDS: Final = 3600


class Place(NamedTuple):
    """A line of a file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Backend(NamedTuple):
    """The server that a hop passes requests on to.

    Attributes:
        is_tls: whether the hop speaks TLS with it.
        at: the line that says so; the address may be in another one.
    """

    host: str
    port: int
    is_tls: bool
    at: Place


def backend_of(url: str, at: Place) -> Backend | None:
    """Where a URL, or an address without a scheme, leads.

    Args:
        url: as `http://127.0.0.1:3000/`, `ws://app`, `https://app`, `:3000`; nothing listens at variables and
            Unix sockets that could be asked.
    """
    scheme, separator, rest = url.rpartition("://")
    if separator and scheme.lower() not in _SCHEMES:
        return None
    is_tls = scheme.lower() in ("https", "wss")
    place = re.match(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]*)(?::([0-9]{1,5}))?(?:/|$)", rest)
    if place is None or not (place[1] or place[2]) or place[1] == "unix":
        return None
    port = int(place[2] or (443 if is_tls else 80))
    return Backend(place[1].strip("[]") or "localhost", port, is_tls, at) if 0 < port < 65536 else None


_SCHEMES: Final = ("http", "https", "ws", "wss", "h2c")


class Edit(NamedTuple):
    """Characters `start` to `end` of a file become `text`."""

    file: str
    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Defect:
    """What is wrong for a WebSocket.

    Attributes:
        kind: what it breaks.
        words: what is wrong, in words.
        at: the line that shows it.
        edits: what mends it; none where no line of this file could.
        seconds: of a limit.
        status: of an answer that the hop makes up; None if it is not known.
        is_built_in: whether that answer has the page that is built into the hop, which tells it from others.
        advice: what to do where there is no diff, or in addition to it.
        backend: of what is passed on: where to.
    """

    kind: Kind
    words: str
    at: Place
    edits: tuple[Edit, ...] = ()
    seconds: float | None = None
    status: int | None = None
    advice: str = ""
    is_built_in: bool = False
    backend: Backend | None = None


@dataclass(frozen=True)
class Met:
    """What a URL meets.

    Attributes:
        words: the innermost place, as `location /ws`.
        at: where that begins.
        defects: what is wrong, the surest first.
        limits: how long it lets a connection idle, live or wait: wrong only where one ended by that.
        possible: what may be why, by what is not known here: named where nothing surer explains it.
        unsure: what could not be decided, a line each.
        found: the software's own account, for the proof.
    """

    words: str
    at: Place
    defects: tuple[Defect, ...] = ()
    limits: tuple[Defect, ...] = ()
    possible: tuple[Defect, ...] = field(default=(), kw_only=True)
    unsure: tuple[str, ...] = ()
    found: Any = None

    @property
    def where(self) -> str:
        """`location /ws in conf.d/app.conf:3`."""
        return f"{self.words} in {self.at}"


class Reader(Protocol):
    """Reads the configuration of one software, and finds what a URL meets in it."""

    @property
    def software(self) -> str:
        """Its name in `findings/data/software.toml`."""

    def recognises(self, name: str, text: str) -> bool:
        """Whether a file is of this software, by its content; its name decides where that says nothing.

        Args:
            text: the beginning of the file.
        """

    def read(self, sources: Sources, files: Sequence[str]) -> Any:
        """What the files say, those that they include as well.

        Returns:
            None if there is nothing in them.
        """

    def meets(self, tree: Any, target: Target, version: tuple[int, ...] | None) -> Met | None:
        """The place that a URL meets; None without one.

        Args:
            tree: what `read` returned.
            version: of the running software, where it says so.
        """


class Lines:
    """A file's text by lines, for edits; lines count from 1."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self._starts = [0]
        # A form feed or a separator of Unicode, as in a comment, ends no line of a configuration.
        self._starts += [match.end() for match in re.finditer("\n", text)]
        if text and not text.endswith("\n"):
            self._starts.append(len(text))

    def line_of(self, offset: int) -> int:
        """The line that has this character."""
        return bisect_right(self._starts, offset)

    def start(self, line: int) -> int:
        """Where a line begins; the end of the text behind the last one."""
        return self._starts[min(line - 1, len(self._starts) - 1)]

    def get(self, line: int) -> str:
        """A line without its end."""
        return self.text[self.start(line) : self.start(line + 1)].rstrip("\r\n")

    def indent(self, line: int) -> str:
        """The blanks in front of a line's first word."""
        text = self.get(line)
        return text[: len(text) - len(text.lstrip())]

    def insert(self, line: int, *lines: str) -> Edit:
        """New lines in front of this one."""
        at = self.start(line)
        lead = "\n" if at and self.text[at - 1 : at] != "\n" else ""
        return Edit(self.file, at, at, lead + "".join(f"{one}\n" for one in lines))

    def replace(self, line: int, *lines: str) -> Edit:
        """Other lines in the place of this one; none removes it."""
        end = self.start(line + 1)
        text = "".join(f"{one}\n" for one in lines)
        return Edit(self.file, self.start(line), end, text)


def edited(text: str, file: str, edits: Sequence[Edit]) -> str:
    """A file's text with all its edits; those of other files are left out."""
    own = sorted(
        {one for one in edits if one.file == file}, key=lambda one: (one.start, one.end), reverse=True
    )
    for one in own:
        text = text[: one.start] + one.text + text[one.end :]
    return text


_KINDS: Final[dict[str, Kind]] = {
    "upgrade": "upgrade",
    "connection": "upgrade",
    "host": "host",
    "cookie": "credentials",
    "authorization": "credentials",
    "origin": "credentials",
}


def kind_of_header(name: str) -> Kind | None:
    """What breaks when a hop removes or changes this header of a handshake; None if nothing does."""
    key = name.strip().lower()
    return "websocket" if key.startswith("sec-websocket-") else _KINDS.get(key)


def handshake_headers(target: Target) -> dict[str, str]:
    """The headers of a browser's handshake that a configuration may ask for, by name in lower case."""
    return {
        "host": target.authority,
        "upgrade": "websocket",
        "connection": "Upgrade",
        "origin": target.origin,
        "sec-websocket-version": "13",
        "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
