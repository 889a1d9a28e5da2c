"""Every way a connection can end: in order or not, with and without close frames, in halves, by RST, under
TLS."""

from __future__ import annotations

from collections.abc import Iterator

from tests.support.bytes_of_frames import BINARY, CLOSE, CONT, KEY, PING, PONG, TEXT, close, frame
from tests.support.frame_cases import noise
from tests.support.handshake_cases import C_CLOSE, C_TEXT, EXCHANGE, S_CLOSE, S_TEXT, SERVER_LAST
from tests.support.script import C, Case, S, Step

CLIENT_LAST = (C.bye(), S.end(), S.bye(), C.end())
BULK = noise(60_000)


def _ends() -> Iterator[tuple[str, tuple[Step, ...]]]:
    """Without a close frame, and closing handshakes in every order."""
    yield "server-fin", (*EXCHANGE, S.bye(), C.end(), C.bye(), S.end())
    yield "client-fin", (*EXCHANGE, C.bye(), S.end(), S.bye(), C.end())
    yield "server-fin-without-notify", (*EXCHANGE, S.fin(), C.end(), C.fin(), S.end())
    yield "client-fin-without-notify", (*EXCHANGE, C.fin(), S.end(), S.fin(), C.end())
    yield "server-rst", (*EXCHANGE, S.rst(), C.end())
    yield "client-rst", (*EXCHANGE, C.rst(), S.end())
    yield "server-close-call", (*EXCHANGE, S.close(), C.end())
    yield "client-close-call", (*EXCHANGE, C.close(), S.end())
    yield "server-fin-at-once", SERVER_LAST
    yield "client-fin-at-once", CLIENT_LAST
    yield "server-rst-at-once", (S.rst(), C.end())
    yield "client-rst-at-once", (C.rst(), S.end())
    yield "server-rst-right-after-data", (S.send(S_TEXT), S.rst(), C.end())
    yield "client-rst-right-after-data", (C.send(C_TEXT), C.rst(), S.end())
    yield "server-rst-after-60kB", (S.send(frame(BINARY, BULK)), C.sync(), S.rst(), C.end())
    yield "client-rst-after-60kB", (C.send(frame(BINARY, BULK, key=KEY)), S.sync(), C.rst(), S.end())
    yield (
        "server-fin-right-after-data",
        (S.send(frame(BINARY, BULK)), S.bye(), C.sync(), C.end(), C.bye(), S.end()),
    )
    yield (
        "client-fin-right-after-data",
        (C.send(frame(BINARY, BULK, key=KEY)), C.bye(), S.sync(), S.end(), S.bye(), C.end()),
    )
    yield "server-rst-after-client-fin", (*EXCHANGE, C.bye(), S.end(), S.rst(), C.end())
    yield "client-rst-after-server-fin", (*EXCHANGE, S.bye(), C.end(), C.rst(), S.end())
    yield "server-rst-after-close-frame", (*EXCHANGE, S.send(S_CLOSE), C.sync(), S.rst(), C.end())
    yield "client-rst-after-close-frame", (*EXCHANGE, C.send(C_CLOSE), S.sync(), C.rst(), S.end())


def _half_closes() -> Iterator[tuple[str, tuple[Step, ...]]]:
    more_c, more_s = frame(BINARY, BULK, key=KEY), frame(BINARY, BULK)
    yield (
        "client-half",
        (C.bye(), S.end(), S.send(S_TEXT), C.sync(), S.send(more_s), C.sync(), S.bye(), C.end()),
    )
    yield (
        "server-half",
        (S.bye(), C.end(), C.send(C_TEXT), S.sync(), C.send(more_c), S.sync(), C.bye(), S.end()),
    )
    yield "client-half-fin-only", (C.fin(), S.end(), S.send(S_TEXT), C.sync(), S.fin(), C.end())
    yield "server-half-fin-only", (S.fin(), C.end(), C.send(C_TEXT), S.sync(), C.fin(), S.end())
    yield (
        "client-half-then-close-frame",
        (C.send(C_CLOSE), C.bye(), S.sync(), S.end(), S.send(S_CLOSE), C.sync(), S.bye(), C.end()),
    )
    yield (
        "server-half-then-close-frame",
        (S.send(S_CLOSE), S.bye(), C.sync(), C.end(), C.send(C_CLOSE), S.sync(), C.bye(), S.end()),
    )
    yield (
        "client-half-many",
        (
            C.bye(),
            S.end(),
            *[step for _ in range(20) for step in (S.send(S_TEXT), C.sync())],
            S.bye(),
            C.end(),
        ),
    )
    yield "client-half-megabytes", (C.bye(), S.end(), S.send(noise(4 << 20)), C.sync(), S.bye(), C.end())
    yield "server-half-megabytes", (S.bye(), C.end(), C.send(noise(4 << 20)), S.sync(), C.bye(), S.end())
    yield "client-half-then-rst-by-it", (C.bye(), S.end(), S.send(S_TEXT), C.sync(), C.rst(), S.pound(S_TEXT))
    yield "server-half-then-rst-by-it", (S.bye(), C.end(), C.send(C_TEXT), S.sync(), S.rst(), C.pound(C_TEXT))
    yield "server-half-then-client-rst", (S.bye(), C.end(), C.send(C_TEXT), S.sync(), C.rst(), S.end())
    yield "client-gone-server-writes", (C.close(), S.end(), S.pound(S_TEXT))
    yield "server-gone-client-writes", (S.close(), C.end(), C.pound(C_TEXT))
    yield (
        "client-half-in-a-message",
        (
            C.send(frame(TEXT, b"a", fin=False, key=KEY)),
            S.sync(),
            C.bye(),
            S.end(),
            S.send(S_TEXT),
            C.sync(),
            S.bye(),
            C.end(),
        ),
    )


def _closing_handshakes() -> Iterator[tuple[str, tuple[Step, ...]]]:
    yield "server-first", (*EXCHANGE, S.send(S_CLOSE), C.sync(), C.send(C_CLOSE), S.sync(), *SERVER_LAST)
    yield "client-first", (*EXCHANGE, C.send(C_CLOSE), S.sync(), S.send(S_CLOSE), C.sync(), *SERVER_LAST)
    yield "client-first-client-last", (C.send(C_CLOSE), S.sync(), S.send(S_CLOSE), C.sync(), *CLIENT_LAST)
    yield "both-at-once", (C.send(C_CLOSE), S.send(S_CLOSE), S.sync(), C.sync(), *SERVER_LAST)
    yield (
        "late-data-from-client",
        (S.send(S_CLOSE), C.sync(), C.send(C_TEXT), S.sync(), C.send(C_CLOSE), S.sync(), *SERVER_LAST),
    )
    yield (
        "late-data-from-server",
        (C.send(C_CLOSE), S.sync(), S.send(S_TEXT), C.sync(), S.send(S_CLOSE), C.sync(), *SERVER_LAST),
    )
    yield (
        "late-pings",
        (
            S.send(S_CLOSE),
            C.sync(),
            C.send(frame(PING, b"?", key=KEY)),
            S.sync(),
            S.send(frame(PONG, b"?")),
            C.sync(),
            C.send(C_CLOSE),
            S.sync(),
            *SERVER_LAST,
        ),
    )
    yield "server-never-answers", (C.send(C_CLOSE), S.sync(), *CLIENT_LAST)
    yield "client-never-answers", (S.send(S_CLOSE), C.sync(), *SERVER_LAST)
    yield (
        "close-and-fin-in-one",
        (S.send(S_CLOSE), S.bye(), C.sync(), C.end(), C.send(C_CLOSE), S.sync(), C.bye(), S.end()),
    )
    yield (
        "other-code-in-answer",
        (C.send(C_CLOSE), S.sync(), S.send(close(4999, b"no")), C.sync(), *SERVER_LAST),
    )
    yield "empty-both", (C.send(close(key=KEY)), S.sync(), S.send(close()), C.sync(), *SERVER_LAST)
    yield (
        "empty-answered-1005",
        (C.send(close(key=KEY)), S.sync(), S.send(close(1005)), C.sync(), *SERVER_LAST),
    )
    yield "server-sends-twice", (S.send(S_CLOSE + S_CLOSE), C.sync(), C.send(C_CLOSE), S.sync(), *SERVER_LAST)
    yield (
        "protocol-error-answered",
        (
            S.send(frame(0x3, b"?")),
            C.sync(),
            C.send(close(1002, b"bad", key=KEY)),
            S.sync(),
            S.send(close(1002)),
            C.sync(),
            *SERVER_LAST,
        ),
    )
    yield (
        "too-big-answered",
        (
            C.send(frame(BINARY, BULK, key=KEY)),
            S.sync(),
            S.send(close(1009, b"big")),
            C.sync(),
            C.send(close(1009, key=KEY)),
            S.sync(),
            *SERVER_LAST,
        ),
    )
    yield (
        "client-fin-waits-for-close",
        (
            C.send(C_CLOSE),
            C.bye(),
            S.sync(),
            S.end(),
            S.send(S_TEXT),
            C.sync(),
            S.send(S_CLOSE),
            C.sync(),
            S.bye(),
            C.end(),
        ),
    )
    yield "close-half-frame-then-fin", (S.send(S_CLOSE[:3]), C.sync(), *SERVER_LAST)


def _tls_ends() -> Iterator[tuple[str, tuple[Step, ...]]]:
    yield "server-notify-then-fin", (*EXCHANGE, S.notify(), C.notified(), S.fin(), C.end(), C.bye(), S.end())
    yield "client-notify-then-fin", (*EXCHANGE, C.notify(), S.notified(), C.fin(), S.end(), S.bye(), C.end())
    yield (
        "server-notify-then-data-back",
        (
            S.notify(),
            C.notified(),
            C.send(C_TEXT),
            S.sync(),
            C.notify(),
            S.notified(),
            S.fin(),
            C.end(),
            C.fin(),
            S.end(),
        ),
    )
    yield (
        "client-notify-then-data-back",
        (
            C.notify(),
            S.notified(),
            S.send(S_TEXT),
            C.sync(),
            S.notify(),
            C.notified(),
            C.fin(),
            S.end(),
            S.fin(),
            C.end(),
        ),
    )
    yield "server-notify-then-rst", (*EXCHANGE, S.notify(), C.notified(), S.rst(), C.end())
    yield "client-notify-then-rst", (*EXCHANGE, C.notify(), S.notified(), C.rst(), S.end())
    yield "server-truncated-client-polite", (*EXCHANGE, S.fin(), C.end(), C.bye(), S.end())
    yield "client-truncated-server-polite", (*EXCHANGE, C.fin(), S.end(), S.bye(), C.end())
    yield (
        "close-frame-notify-in-one",
        (
            S.send(S_CLOSE),
            S.notify(),
            C.sync(),
            C.notified(),
            C.send(C_CLOSE),
            S.sync(),
            C.bye(),
            S.end(),
            S.fin(),
            C.end(),
        ),
    )


def _mixed() -> Iterator[tuple[str, tuple[Step, ...]]]:
    """Both directions at once."""
    yield "both-send-at-once", (C.send(C_TEXT * 50), S.send(S_TEXT * 50), S.sync(), C.sync(), *SERVER_LAST)
    yield (
        "ping-pong-rally",
        tuple(
            step
            for n in range(50)
            for step in (
                C.send(frame(PING, b"%d" % n, key=KEY)),
                S.sync(),
                S.send(frame(PONG, b"%d" % n)),
                C.sync(),
            )
        )
        + SERVER_LAST,
    )
    yield (
        "fragments-crossing",
        (
            C.send(frame(TEXT, b"a", fin=False, key=KEY)),
            S.send(frame(TEXT, b"b", fin=False)),
            S.sync(),
            C.sync(),
            C.send(frame(CONT, b"a", key=KEY)),
            S.send(frame(CONT, b"b")),
            S.sync(),
            C.sync(),
            *SERVER_LAST,
        ),
    )
    yield (
        "violation-both-ways",
        (
            C.send(frame(TEXT, b"x")),
            S.send(frame(TEXT, b"x", key=KEY)),
            S.sync(),
            C.sync(),
            *EXCHANGE,
            *SERVER_LAST,
        ),
    )
    yield (
        "close-fragmented",
        (
            S.send(frame(CLOSE, b"\x03\xe8", fin=False)),
            C.sync(),
            S.send(frame(CONT, b"why")),
            C.sync(),
            *SERVER_LAST,
        ),
    )


def _hasty() -> Iterator[Case]:
    """The server ends before its answer can have been read."""
    ends = {
        "bye": (S.bye(), C.sync(), C.end(), C.bye(), S.end()),
        "fin": (S.fin(), C.sync(), C.end(), C.fin(), S.end()),
        "rst": (S.rst(), C.sync(), C.end()),
        "close": (S.close(), C.sync(), C.end()),
        "notify": (S.notify(), C.sync(), C.notified(), C.bye(), S.end(), S.fin(), C.end()),
        "half-close": (S.bye(), C.sync(), C.end(), C.send(C_TEXT), S.sync(), C.bye(), S.end()),
    }
    for name, steps in ends.items():
        for what, data in (("nothing", b""), ("frame", S_TEXT), ("close-frame", S_CLOSE), ("60kB", BULK)):
            yield Case(f"hasty-{name}-after-{what}", "hasty", steps, joined=data, hasty=True)
    impatient = (C.bye(), S.sync(), S.end(), S.bye(), C.sync(), C.end())
    yield Case("hasty-both", "hasty", impatient, joined=S_TEXT, early=C_TEXT, hasty=True)


def _impatient() -> Iterator[Case]:
    """The client ends before the server has answered."""
    for name, step in {"bye": C.bye(), "fin": C.fin(), "rst": C.rst(), "close": C.close()}.items():
        yield Case(f"gave-up-{name}", "impatient", (), before=(step, S.end()), accept=b"")
    half, rest = (C.bye(), S.end()), (S.send(S_TEXT), C.sync(), S.bye(), C.end())
    yield Case("half-closed-before-the-answer", "impatient", rest, before=half)
    # A proxy has no place for early data before the answer, so the server may get both only after it.
    late = (S.sync(), S.end(), *rest)
    yield Case("half-closed-after-early-data", "impatient", late, before=(C.bye(),), early=C_TEXT)


def end_cases() -> list[Case]:
    """All cases of ends."""
    cases = []
    families = {"ends": _ends, "half-close": _half_closes, "closing": _closing_handshakes, "mixed": _mixed}
    for family, make in families.items():
        cases += [Case(f"{family}-{name}", family, steps) for name, steps in make()]
    cases += [*_hasty(), *_impatient()]
    cases += [Case(f"tls-{name}", "tls-ends", steps, tls_only=True) for name, steps in _tls_ends()]
    return cases
