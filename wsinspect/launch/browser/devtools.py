"""Chromium's DevTools protocol over its pipe: what a page's console says, and what became of its sockets.

`PageLog` reads events and does no I/O. `Pipe` carries messages, each a JSON object that a NUL ends
(`--remote-debugging-pipe`: Chromium reads from descriptor 3 and writes to 4). What comes from a page is
hostile: bounded, and never an error of ours.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from wsinspect.errors import LocalError

#: How many console lines, and sockets, are kept.
MAX_LINES: Final = 60
MAX_SOCKETS: Final = 20
#: How many are followed: of a page that opens hundreds, those that failed are kept before others.
_MAX_FOLLOWED: Final = 1000
_CHARACTERS: Final = 500
#: A longer message from the browser ends the session.
_MAX_MESSAGE: Final = 16 * 1024 * 1024
_READ: Final = 1 << 16
#: Puts the two descriptors where Chromium looks for them, and becomes the browser.
_TRAMPOLINE: Final = (
    "import fcntl,os,sys;r,w=(fcntl.fcntl(int(n),fcntl.F_DUPFD,10) for n in sys.argv[1:3]);"
    "os.dup2(r,3);os.dup2(w,4);os.close(r);os.close(w);os.execv(sys.argv[3],sys.argv[3:])"
)
_LEVELS: Final = {"log": "info", "debug": "info", "dir": "info", "assert": "error", "verbose": "info"}


class NoAnswerError(LocalError):
    """A command got no result in time."""


class ConsoleLine(NamedTuple):
    """A line of the console: `error`, `warning` or `info`, and what says it (`exception` for one that nobody
    caught)."""

    level: str
    source: str
    text: str


class Socket(NamedTuple):
    """A WebSocket that a page made: the status of the answer, and the browser's words where it failed."""

    url: str
    status: int | None = None
    error: str | None = None


class PageLog:
    """What a page says and does, from the events of the protocol.

    Attributes:
        is_loaded: whether the page's load event came.
    """

    def __init__(self) -> None:
        self.is_loaded = False
        self._lines: list[ConsoleLine] = []
        self._sockets: dict[str, Socket] = {}
        self._begun: set[str] = set()

    @property
    def is_connecting(self) -> bool:
        """Whether a WebSocket has begun that has neither opened nor failed."""
        return bool(self._begun)

    @property
    def made(self) -> int:
        """How many WebSockets there were."""
        return len(self._sockets)

    @property
    def lines(self) -> tuple[ConsoleLine, ...]:
        """The console, in order."""
        return tuple(self._lines)

    @property
    def sockets(self) -> tuple[Socket, ...]:
        """The WebSockets, in order; of too many the first, and those that failed before others."""
        first = sorted(self._sockets, key=lambda number: self._sockets[number].error is None)
        kept = set(first[:MAX_SOCKETS])
        return tuple(one for number, one in self._sockets.items() if number in kept)

    def take(self, event: dict[str, Any]) -> None:
        """One event; what is not of interest, or not as it should be, is passed over."""
        name, params = event.get("method"), event.get("params")
        if not isinstance(name, str) or not isinstance(params, dict):
            return
        if name == "Page.loadEventFired":
            self.is_loaded = True
        elif name == "Runtime.consoleAPICalled":
            words = " ".join(map(_argument, _list(params.get("args"))[:8]))
            self._say(str(params.get("type")), "console", words)
        elif name == "Runtime.exceptionThrown":
            self._say("error", "exception", _exception(_dict(params.get("exceptionDetails"))))
        elif name == "Log.entryAdded":
            entry = _dict(params.get("entry"))
            place = f" ({entry['url']})" if entry.get("url") else ""
            self._say(str(entry.get("level")), str(entry.get("source")), f"{entry.get('text')}{place}")
        elif name.startswith("Network.webSocket"):
            self._socket(name.removeprefix("Network.webSocket"), params)

    def _say(self, level: str, source: str, text: str) -> None:
        level = _LEVELS.get(level, level if level in ("error", "warning") else "info")
        line = ConsoleLine(level, source[:40], text[:_CHARACTERS])
        if len(self._lines) < MAX_LINES and line not in self._lines[-3:]:
            self._lines.append(line)

    def _socket(self, what: str, params: dict[str, Any]) -> None:
        number = str(params.get("requestId"))
        if what == "Created" and len(self._sockets) < _MAX_FOLLOWED:
            self._sockets[number] = Socket(str(params.get("url"))[:2000])
            self._begun.add(number)
        known = self._sockets.get(number)
        if known is None:
            return
        if what == "HandshakeResponseReceived":
            status = _dict(params.get("response")).get("status")
            self._sockets[number] = known._replace(status=status if isinstance(status, int) else None)
        elif what == "FrameError":
            words = str(params.get("errorMessage"))[:_CHARACTERS]
            self._sockets[number] = known._replace(error=known.error or words)
        if what in ("HandshakeResponseReceived", "FrameError", "Closed"):
            self._begun.discard(number)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _argument(value: Any) -> str:
    """An argument of `console.log`, as far as it is plain."""
    one = _dict(value)
    plain = one.get("value", one.get("description", one.get("type", "")))
    return str(plain)[:_CHARACTERS]


def _exception(details: dict[str, Any]) -> str:
    words = _dict(details.get("exception")).get("description") or details.get("text") or "an exception"
    place = f" ({details['url']}:{details.get('lineNumber', 0) + 1})" if _has_place(details) else ""
    return f"{str(words).partition(chr(10))[0][:_CHARACTERS]}{place}"


def _has_place(details: dict[str, Any]) -> bool:
    return bool(details.get("url")) and isinstance(details.get("lineNumber", 0), int)


def split(buffer: bytes) -> tuple[list[dict[str, Any]], bytes]:
    """The whole messages in what came, and the beginning of the next one."""
    *whole, rest = buffer.split(b"\0")
    found = []
    for one in whole:
        try:
            value = json.loads(one)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found, rest


class Pipe:
    """The pipe to one Chromium.

    Attributes:
        inherited: the two descriptors to hand on to the browser; `close_inherited` once it is started.
    """

    def __init__(self) -> None:
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        self.inherited = (theirs_in, theirs_out)
        self._buffer = b""
        self._waiting: deque[dict[str, Any]] = deque()
        self._number = 0
        os.set_blocking(self._in, False)

    def command(self, words: Sequence[str]) -> list[str]:
        """The command that starts the browser with the pipe where it looks for it."""
        program, *options = words
        return [
            *(sys.executable, "-c", _TRAMPOLINE, *map(str, self.inherited)),
            *(program, "--remote-debugging-pipe", *options),
        ]

    def close_inherited(self) -> None:
        """Close our copies of the browser's ends, so that its end is seen."""
        for one in self.inherited:
            os.close(one)

    def close(self) -> None:
        os.close(self._in)
        os.close(self._out)

    def send(self, method: str, session: str | None = None, **params: Any) -> int:
        """Send a command; returns its number.

        Raises:
            LocalError: the browser is gone.
        """
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        try:
            os.write(self._out, json.dumps(message).encode() + b"\0")
        except OSError as error:
            raise LocalError("the browser has ended") from error
        return self._number

    def messages(self, until: float) -> Iterator[dict[str, Any]]:
        """What comes, until the monotonic clock has reached that.

        Raises:
            LocalError: the browser is gone.
        """
        while True:
            while self._waiting:  # also what came behind the result of a command
                yield self._waiting.popleft()
            left = until - time.monotonic()
            if left <= 0:
                return
            if not select.select([self._in], [], [], left)[0]:
                return
            data = os.read(self._in, _READ)
            if not data or len(self._buffer) > _MAX_MESSAGE:
                raise LocalError("the browser has ended")
            found, self._buffer = split(self._buffer + data)
            self._waiting.extend(found)

    def ask(
        self,
        method: str,
        session: str | None = None,
        *,
        seconds: float = 10.0,
        take: Callable[[dict[str, Any]], None] = lambda event: None,
        **params: Any,
    ) -> dict[str, Any]:
        """Send a command and wait for its result.

        Args:
            take: given the events that come meanwhile.

        Raises:
            NoAnswerError: there is none in time.
            LocalError: the browser is gone.
        """
        number = self.send(method, session, **params)
        for one in self.messages(time.monotonic() + seconds):
            if one.get("id") == number:
                return _dict(one.get("result"))
            take(one)
        raise NoAnswerError("the browser does not answer")


__all__ = ["ConsoleLine", "NoAnswerError", "PageLog", "Pipe", "Socket", "split"]
