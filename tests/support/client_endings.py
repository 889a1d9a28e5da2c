"""Every way a raw client can end a connection with a real server application.

The server obeys `cmd:` messages (close, send, ping, terminate), so a script decides about both sides. All
scripts begin after the opening handshake.
"""

from __future__ import annotations

from tests.support.bytes_of_frames import BINARY, CLOSE, CONT, KEY, PING, PONG, TEXT, close, deflate, frame
from tests.support.endings import BAD_CODES, CODES, Ending, Script, Talk, say_and_end

PACKED = deflate(b"compressed " * 50)[0]


def _closes(body: bytes) -> Script:
    """The client closes in order."""

    async def script(talk: Talk) -> None:
        await talk.text("hello")
        await talk.say(frame(CLOSE, body, key=KEY))
        await talk.hear_close()

    return script


def _asked_to_close(answer: bytes | None, *, code: int = 1000, end: str = "bye") -> Script:
    """The server application closes; the client answers with `answer` (None: not at all) and ends as `end`
    says."""

    async def script(talk: Talk) -> None:
        await talk.tell("close", code=code, reason="bye")
        await talk.hear_close()
        if answer is not None:
            await talk.say(frame(CLOSE, answer, key=KEY))
        if end == "rst":
            talk.peer.rst()
        else:
            await talk.bye()

    return script


def _sends(data: bytes, *, end: str = "") -> Script:
    """The client sends `data`, then ends ("fin", "bye", "rst", "close") or waits for the server."""

    async def script(talk: Talk) -> None:
        await talk.tell("send", text="ready")
        await talk.hear()
        await say_and_end(talk, data, end)

    return script


async def _conversation(talk: Talk) -> None:
    for words in ("one", "two"):
        await talk.tell("send", text=words)
        await talk.hear()
    await talk.say(frame(TEXT, b"in ", fin=False, key=KEY))
    await talk.say(frame(PING, b"between", key=KEY))
    while (await talk.hear())[0] != PONG:
        pass
    await talk.say(frame(CONT, b"two parts", key=KEY))
    await talk.tell("ping")
    while (await talk.hear())[0] != PING:
        pass
    await talk.say(frame(PONG, b"lab", key=KEY))
    await talk.say(frame(BINARY, bytes(range(256)), key=KEY))
    await talk.close_frame(1000, b"done")
    await talk.hear_close()


async def _terminated(talk: Talk) -> None:
    await talk.tell("terminate")
    await talk.peer.has_ended()


async def _half_close(talk: Talk) -> None:
    await talk.tell("send", text="ready")
    await talk.hear()
    await talk.bye()
    await talk.peer.has_ended()


async def _late_data(talk: Talk) -> None:
    """Data between the server's close frame and the client's."""
    await talk.tell("close", code=1001, reason="bye")
    await talk.hear_close()
    await talk.text("late")
    await talk.close_frame(1001, b"now")


VIOLATIONS = {
    "unmasked": frame(TEXT, b"?"),
    "reserved-opcode": frame(0x3, b"?", key=KEY),
    "rsv2": frame(TEXT, b"?", rsv=2, key=KEY),
    "rsv1-not-negotiated": frame(TEXT, PACKED, rsv=4, key=KEY),
    "bad-utf8": frame(TEXT, b"\xff\xfe", key=KEY),
    "close-one-byte": frame(CLOSE, b"\x03", key=KEY),
    "close-reason-bad-utf8": close(1000, b"\xff", key=KEY),
    "control-fragmented": frame(PING, b"?", fin=False, key=KEY),
    "control-too-long": frame(PING, b"?" * 126, key=KEY),
    "lone-continuation": frame(CONT, b"?", key=KEY),
    "text-inside-message": frame(TEXT, b"a", fin=False, key=KEY) + frame(TEXT, b"b", key=KEY),
    "length-top-bit": frame(BINARY, b"?", form=64, length=1 << 63, key=KEY),
    "too-big": frame(BINARY, bytes(200_000), key=KEY),
    "not-frames": b"GET / HTTP/1.1\r\n\r\n",
}


def client_endings() -> list[Ending]:
    """What a raw client does to a server application."""
    endings = [
        Ending(f"client-closes-{code}", _closes(code.to_bytes(2, "big") + b"why"))
        for code in (*CODES, *BAD_CODES)
    ]
    endings += [
        Ending("client-closes-empty", _closes(b"")),
        Ending("server-closes-answered", _asked_to_close(b"\x03\xe8bye")),
        Ending("server-closes-4000-answered", _asked_to_close(b"\x0f\xa0", code=4000)),
        Ending("server-closes-answered-otherwise", _asked_to_close(b"\x0f\xa1other")),
        Ending("server-closes-answered-empty", _asked_to_close(b"")),
        Ending("server-closes-answered-by-fin", _asked_to_close(None)),
        Ending("server-closes-answered-by-rst", _asked_to_close(None, end="rst")),
        Ending("server-closes-answered-then-rst", _asked_to_close(b"\x03\xe8", end="rst")),
        Ending("conversation", _conversation),
        Ending("server-terminates", _terminated),
        Ending("half-close", _half_close),
        Ending("late-data", _late_data),
    ]
    for end in ("fin", "bye", "rst", "close"):
        endings.append(Ending(f"{end}-after-message", _sends(frame(TEXT, b"last words", key=KEY), end=end)))
        endings.append(Ending(f"{end}-in-frame", _sends(frame(TEXT, b"never whole", key=KEY)[:8], end=end)))
        endings.append(Ending(f"{end}-in-message", _sends(frame(TEXT, b"part", fin=False, key=KEY), end=end)))
        endings.append(Ending(f"{end}-with-close-frame", _sends(close(1001, b"gone", key=KEY), end=end)))
    endings += [Ending(f"violation-{name}", _sends(data)) for name, data in VIOLATIONS.items()]
    return endings
