"""Every way a connection can end, played by a raw server to a real client application, or by a raw client to
a real server.

An ending is a coroutine over a `Talk`. Applications obey text messages that begin with `cmd:` (close, send,
terminate), so one script decides about both sides and the applications need no other instructions.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.support.bytes_of_frames import (
    BINARY,
    CLOSE,
    CONT,
    KEY,
    PING,
    PONG,
    TEXT,
    close,
    deflate,
    frame,
    xor,
)
from tests.support.rawpeers import Peer, PeerTimeoutError

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Talk:
    """One raw side of a conversation with an application."""

    def __init__(self, peer: Peer, *, is_client: bool = False) -> None:
        self.peer = peer
        self.key = KEY if is_client else None
        self._at = 0
        self.head = b""

    async def read_head(self) -> bytes:
        """The other side's head, up to the empty line."""
        await self.peer.until(lambda: b"\r\n\r\n" in self.peer.received or self.peer.ended is not None)
        self._at = self.peer.received.find(b"\r\n\r\n") + 4
        self.head = bytes(self.peer.received[: self._at])
        return self.head

    async def open(self, path: str, *lines: str) -> None:
        """As a client: the opening handshake, until the server's whole answer is here."""
        head = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade"]
        head += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", *lines, "", ""]
        await self.peer.send("\r\n".join(head).encode())
        await self.read_head()

    def accept(self) -> str:
        key = re.search(rb"(?i)\r\nsec-websocket-key:\s*(\S+)", self.head)
        return base64.b64encode(hashlib.sha1((key[1] if key else b"") + GUID).digest()).decode()

    async def answer(self, status: str, *lines: str, body: bytes = b"") -> None:
        await self.peer.send("\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode() + body)

    async def upgrade(self, *lines: str) -> None:
        await self.answer(
            "101 Switching Protocols",
            *("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {self.accept()}", *lines),
        )

    async def say(self, data: bytes) -> None:
        await self.peer.send(data)

    async def text(self, words: str) -> None:
        await self.say(frame(TEXT, words.encode(), key=self.key))

    async def tell(self, do: str, **what: Any) -> None:
        """Give the application an order."""
        await self.text("cmd:" + json.dumps({"do": do, **what}))

    async def close_frame(self, code: int | None = None, reason: bytes = b"") -> None:
        await self.say(close(code, reason, key=self.key))

    async def hear(self) -> tuple[int, bytes]:
        """The next frame of the other side: opcode and unmasked payload."""
        await self.peer.until(lambda: self._whole() is not None or self.peer.ended is not None)
        whole = self._whole()
        if whole is None:
            raise PeerTimeoutError
        opcode, payload, self._at = whole
        return opcode, payload

    async def hear_close(self) -> bytes:
        """The body of the other side's close frame; frames before it are skipped."""
        while True:
            opcode, payload = await self.hear()
            if opcode == CLOSE:
                return payload

    def frames(self) -> list[str]:
        """All whole frames of the other side so far, unmasked, as comparable words."""
        kept, self._at = self._at, self.peer.received.find(b"\r\n\r\n") + 4
        found = []
        while (whole := self._whole()) is not None:
            found.append(f"{whole[0]:x}:{whole[1].hex() or '-'}")
            self._at = whole[2]
        self._at = kept
        return found

    async def bye(self) -> None:
        """End one's direction politely."""
        if self.peer.secure:
            await self.peer.close_notify()
        self.peer.fin()

    async def finish(self, timeout: float = 30.0) -> str:
        """As a server does in the end: answer a close frame's arrival by FIN, then wait for the client's
        end."""
        is_answered = self.peer.closed
        try:
            while not self.peer.closed and self.peer.ended is None:
                await self.peer.until(lambda: self.peer.ended is not None or self._has_close(), timeout)
                if not is_answered:
                    await self.bye()
                    is_answered = True
                await self.peer.has_ended(timeout)
        except PeerTimeoutError:
            return "the other side's end did not come"
        return "ended here" if self.peer.closed else "the other side's end came"

    def _has_close(self) -> bool:
        return any(words.startswith("8:") for words in self.frames())

    def _whole(self) -> tuple[int, bytes, int] | None:
        data, at = self.peer.received, self._at
        if len(data) < at + 2:
            return None
        size, start = data[at + 1] & 0x7F, at + 2
        if size > 125:
            width = 2 if size == 126 else 8
            size, start = int.from_bytes(data[start : start + width], "big"), start + width
        key = bytes(data[start : start + 4]) if data[at + 1] & 0x80 else None
        start += 4 if key else 0
        if len(data) < start + size:
            return None
        payload = bytes(data[start : start + size])
        return data[at] & 0x0F, xor(payload, key) if key else payload, start + size


Script = Callable[[Talk], Awaitable[None]]


@dataclass(frozen=True)
class Ending:
    """A named script of the raw side.

    Attributes:
        answers: the server side answers the handshake with a whole head. Where it does not, a proxy has to
            answer for it (502), so only what JavaScript can see is compared.
    """

    name: str
    script: Script
    answers: bool = True


async def _greet(talk: Talk) -> None:
    await talk.upgrade()
    await talk.text("hello")


def _server_closes(code: int | None, reason: bytes = b"why \xe2\x82\xac") -> Script:
    async def script(talk: Talk) -> None:
        await _greet(talk)
        await talk.close_frame(code, reason if code is not None else b"")
        await talk.hear_close()
        await talk.bye()

    return script


def _client_closes(code: int | None, answer: bytes | None, *, end: str = "bye") -> Script:
    """The application closes; the server answers with `answer` (None: the same body) and ends as `end`
    says."""

    async def script(talk: Talk) -> None:
        await _greet(talk)
        await talk.tell("close", **({} if code is None else {"code": code, "reason": "bye"}))
        body = await talk.hear_close()
        if end != "silent":
            await talk.say(frame(CLOSE, body if answer is None else answer))
        if end == "rst":
            talk.peer.rst()
        else:
            await talk.bye()

    return script


async def say_and_end(talk: Talk, data: bytes, end: str) -> None:
    """Send `data`, then end ("fin", "bye", "rst", "close"), or not ("")."""
    await talk.say(data)
    if end == "bye":
        await talk.bye()
    elif end:
        getattr(talk.peer, end)()


def _sends(data: bytes, *, end: str = "", lines: tuple[str, ...] = ()) -> Script:
    """After the handshake the server sends `data`, then ends ("fin", "bye", "rst", "close") or waits for the
    client."""

    async def script(talk: Talk) -> None:
        await talk.upgrade(*lines)
        await talk.text("hello")
        await talk.tell("send", text="ready")
        await talk.hear()
        await say_and_end(talk, data, end)

    return script


def _at_once(data: bytes, end: str) -> Script:
    """Handshake, data and end with nothing between them."""

    async def script(talk: Talk) -> None:
        await talk.upgrade()
        await talk.say(data)
        await talk.bye()

    return script


def _answers(status: str, *lines: str, body: bytes = b"") -> Script:
    async def script(talk: Talk) -> None:
        await talk.answer(status, f"Content-Length: {len(body)}", *lines, body=body)

    return script


def _upgrades_with(*lines: str) -> Script:
    async def script(talk: Talk) -> None:
        await talk.answer(
            "101 Switching Protocols", *(line.replace("{accept}", talk.accept()) for line in lines)
        )
        await talk.text("hello")

    return script


def _no_answer(data: bytes, end: str) -> Script:
    async def script(talk: Talk) -> None:
        if data:
            await talk.say(data)
        getattr(talk.peer, end)()

    return script


async def _conversation(talk: Talk) -> None:
    await _greet(talk)
    for words in ("one", "two", "three"):
        await talk.tell("send", text=words)
        await talk.hear()
    await talk.say(frame(BINARY, bytes(range(256))))
    await talk.say(frame(PING, b"are you there"))
    while (await talk.hear())[0] != PONG:
        pass
    await talk.close_frame(1000, b"done")
    await talk.hear_close()
    await talk.bye()


async def _client_terminates(talk: Talk) -> None:
    """The application drops the connection without a closing handshake."""
    await _greet(talk)
    await talk.tell("terminate")
    await talk.peer.has_ended()


async def _late_data(talk: Talk) -> None:
    """Data between the client's close frame and the server's."""
    await _greet(talk)
    await talk.tell("close", code=1000, reason="bye")
    await talk.hear_close()
    await talk.text("late")
    await talk.close_frame(1000, b"now")
    await talk.bye()


async def _half_close(talk: Talk) -> None:
    await _greet(talk)
    await talk.tell("send", text="ready")
    await talk.hear()
    await talk.bye()
    await talk.peer.has_ended()


GOOD = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: {accept}")
PACKED = deflate(b"compressed " * 50)[0]
DEFLATE = ("Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover",)
CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4401, 4999)
BAD_CODES = (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)
VIOLATIONS = {
    "reserved-opcode": frame(0x3, b"?"),
    "reserved-control-opcode": frame(0xB, b"?"),
    "rsv1": frame(TEXT, b"?", rsv=4),
    "rsv2": frame(TEXT, b"?", rsv=2),
    "masked": frame(TEXT, b"?", key=KEY),
    "bad-utf8": frame(TEXT, b"\xff\xfe"),
    "close-one-byte": frame(CLOSE, b"\x03"),
    "close-reason-bad-utf8": close(1000, b"\xff"),
    "control-fragmented": frame(PING, b"?", fin=False),
    "control-too-long": frame(PING, b"?" * 126),
    "lone-continuation": frame(CONT, b"?"),
    "text-inside-message": frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"),
    "length-top-bit": frame(BINARY, b"?", form=64, length=1 << 63),
}  # fmt: skip


def server_endings() -> list[Ending]:
    """What a raw server does to a client application."""
    endings = [Ending(f"server-closes-{code}", _server_closes(code)) for code in (*CODES, None)]
    endings += [Ending(f"server-closes-illegal-{code}", _server_closes(code)) for code in BAD_CODES]
    endings += [
        Ending(f"client-closes-{code}", _client_closes(code, None)) for code in (1000, 3001, 4999, None)
    ]
    endings += [
        Ending("client-closes-answered-otherwise", _client_closes(1000, b"\x0f\xa1other")),
        Ending("client-closes-answered-empty", _client_closes(1000, b"")),
        Ending("client-closes-answered-by-fin", _client_closes(1000, None, end="silent")),
        Ending("client-closes-answered-then-rst", _client_closes(1000, None, end="rst")),
        Ending("conversation", _conversation),
        Ending("late-data", _late_data),
        Ending("client-terminates", _client_terminates),
        Ending("half-close", _half_close),
    ]
    for end in ("fin", "bye", "rst", "close"):
        endings.append(Ending(f"{end}-after-message", _sends(frame(TEXT, b"last words"), end=end)))
        endings.append(Ending(f"{end}-in-frame", _sends(frame(TEXT, b"never whole")[:6], end=end)))
        endings.append(Ending(f"{end}-in-message", _sends(frame(TEXT, b"part", fin=False), end=end)))
    endings.append(Ending("bye-with-close-frame", _sends(close(1001, b"gone"), end="bye")))
    endings.append(Ending("fin-with-close-frame", _sends(close(1001, b"gone"), end="fin")))
    endings.append(Ending("bye-at-once", _at_once(b"", "bye")))
    endings.append(
        Ending("messages-and-close-at-once", _at_once(frame(TEXT, b"x") * 5 + close(4000, b"at once"), "bye"))
    )
    endings += [Ending(f"violation-{name}", _sends(data)) for name, data in VIOLATIONS.items()]
    endings += [
        Ending("too-big", _sends(frame(BINARY, bytes(200_000)) + close(1000))),
        Ending("compressed", _sends(frame(TEXT, PACKED, rsv=4) + close(1000, b"ok"), lines=DEFLATE)),
        Ending("compressed-broken", _sends(frame(TEXT, b"\xff\xff\xff\xff", rsv=4), lines=DEFLATE)),
        Ending("compressed-continuation", _sends(frame(CONT, PACKED, rsv=4), lines=DEFLATE)),
    ]
    return endings + handshake_endings()


def handshake_endings() -> list[Ending]:
    """Attempts that never become a WebSocket."""
    head = b"HTTP/1.1 101 Switching Protocols\r\n"
    endings = [
        Ending(f"refused-{status.split()[0]}", _answers(status, body=f"<h1>{status}</h1>".encode()))
        for status in ("200 OK", "400 Bad Request", "403 Forbidden", "404 Not Found", "426 Upgrade Required")
    ]
    endings += [
        Ending("refused-401", _answers("401 Unauthorized", "X-Lab: 1", body=b"who are you")),
        Ending("refused-500", _answers("500 Internal Server Error", body=b"x" * 20_000)),
        Ending("refused-503-no-body", _answers("503 Service Unavailable", "Retry-After: 5")),
        Ending("refused-302", _answers("302 Found")),
        Ending("accept-wrong", _upgrades_with(*GOOD[:2], "Sec-WebSocket-Accept: d3Jvbmc=")),
        Ending("accept-missing", _upgrades_with(*GOOD[:2])),
        Ending("upgrade-missing", _upgrades_with(*GOOD[1:])),
        Ending("connection-missing", _upgrades_with(GOOD[0], GOOD[2])),
        Ending("upgrade-other", _upgrades_with("Upgrade: h2c", *GOOD[1:])),
        Ending("subprotocol-not-offered", _upgrades_with(*GOOD, "Sec-WebSocket-Protocol: surprise")),
        Ending("extension-not-offered", _upgrades_with(*GOOD, "Sec-WebSocket-Extensions: x-surprise")),
        Ending(
            "extension-nonsense", _upgrades_with(*GOOD, "Sec-WebSocket-Extensions: permessage-deflate; foo=1")
        ),
        Ending(
            "window-bits-7",
            _upgrades_with(*GOOD, "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=7"),
        ),
        Ending("no-answer-fin", _no_answer(b"", "fin"), answers=False),
        Ending("no-answer-rst", _no_answer(b"", "rst"), answers=False),
        Ending("half-a-head-fin", _no_answer(head, "fin"), answers=False),
        Ending("half-a-head-rst", _no_answer(head, "rst"), answers=False),
        Ending("garbage-answer", _no_answer(b"\x00\x01\x02 not HTTP\r\n\r\n", "fin"), answers=False),
    ]
    return endings
