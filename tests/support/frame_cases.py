"""The frame half of the byte checker: what one side sends after the handshake, for each direction.

Every function gives (name, chunks): the chunks are sent one after the other, the receiver having got each
whole one before the next is sent, so a relay that waits for the end of a frame or message is found out, too.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.support.bytes_of_frames import BINARY, CLOSE, CONT, KEY, PING, PONG, TEXT, close, deflate, frame
from tests.support.script import C, Case, S, Step

Blob = tuple[str, list[bytes]]
LENGTHS = [0, 1, 2, 3, 124, 125, 126, 127, 128, 129, 254, 255, 256, 257, 1000, 4096]
LENGTHS += [65534, 65535, 65536, 65537, 70_000, 200_000]
OTHER_KEYS = {"zero": bytes(4), "ones": b"\xff" * 4, "ascii": b"GET ", "low": b"\0\0\0\1"}
CLOSE_CODES = [
    0,
    1,
    999,
    *range(1000, 1017),
    1099,
    1100,
    2000,
    2999,
    3000,
    3999,
    4000,
    4401,
    4999,
    5000,
    65535,
]
UTF8 = {
    "two-byte": "é".encode(),
    "three-byte": "€".encode(),
    "four-byte": "\U0001f9e6".encode(),
    "bom": b"\xef\xbb\xbfx",
    "nul": b"a\0b",
    "noncharacter": b"\xef\xbf\xbf",
    "lone-ff": b"\xff",
    "lone-continuation": b"\x80",
    "overlong": b"\xc0\x80",
    "overlong-slash": b"\xe0\x80\xaf",
    "surrogate": b"\xed\xa0\x80",
    "beyond-10ffff": b"\xf4\x90\x80\x80",
    "cut": b"ok\xe2\x82",
    "bad-in-the-middle": b"before\xfeafter",
    "escape-sequence": b"\x1b]0;title\x07\x1b[31mred",
}


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def lengths(key: bytes | None) -> Iterator[Blob]:
    for size in LENGTHS:
        yield f"length-{size}", [frame(BINARY, noise(size), key=key)]
    for size, form in [(0, 16), (1, 16), (125, 16), (0, 64), (1, 64), (125, 64), (126, 64), (65535, 64)]:
        yield f"length-{size}-as-{form}-bit", [frame(TEXT, b"n" * size, key=key, form=form)]
    for name, declared in [
        ("top-bit", 1 << 63),
        ("all-ones", (1 << 64) - 1),
        ("max-63", (1 << 63) - 1),
        ("tera", 1 << 40),
    ]:
        yield f"length-{name}", [frame(BINARY, b"never whole", key=key, form=64, length=declared), b"and on"]


def opcodes(key: bytes | None) -> Iterator[Blob]:
    for opcode in range(16):
        for fin in (True, False):
            yield (
                f"opcode-{opcode:x}-fin{fin:d}",
                [
                    frame(opcode, b"\x03\xe8" if opcode == CLOSE else b"payload", fin=fin, key=key),
                    frame(TEXT, b"after", key=key),
                ],
            )


def reserved_bits(key: bytes | None) -> Iterator[Blob]:
    for name, opcode in [
        ("text", TEXT),
        ("binary", BINARY),
        ("cont", CONT),
        ("ping", PING),
        ("close", CLOSE),
    ]:
        for rsv in range(1, 8):
            yield f"rsv{rsv}-{name}", [frame(opcode, b"\x03\xe8rsv", rsv=rsv, key=key)]


def masks(key: bytes | None) -> Iterator[Blob]:
    for name, other in OTHER_KEYS.items():
        yield f"mask-key-{name}", [frame(TEXT, b"key is kept", key=other)]
    wrong = None if key is not None else KEY
    for name, opcode in [
        ("text", TEXT),
        ("binary", BINARY),
        ("ping", PING),
        ("pong", PONG),
        ("close", CLOSE),
    ]:
        yield (
            f"mask-wrong-{name}",
            [frame(opcode, b"\x03\xe8wrong", key=wrong), frame(TEXT, b"after", key=key)],
        )
    yield "mask-wrong-fragments", [frame(TEXT, b"a", fin=False, key=key), frame(CONT, b"b", key=wrong)]
    yield "mask-alternating", [frame(TEXT, b"n", key=key) + frame(TEXT, b"y", key=wrong) for _ in range(4)]


def control(key: bytes | None) -> Iterator[Blob]:
    for name, opcode in [("ping", PING), ("pong", PONG)]:
        for size in (0, 1, 124, 125):
            yield f"{name}-{size}", [frame(opcode, b"p" * size, key=key)]
        yield f"{name}-126", [frame(opcode, b"p" * 126, key=key), frame(TEXT, b"after", key=key)]
        yield f"{name}-70000", [frame(opcode, b"p" * 70_000, key=key)]
        yield f"{name}-fragmented", [frame(opcode, b"a", fin=False, key=key), frame(CONT, b"b", key=key)]
    yield "pings-pipelined", [b"".join(frame(PING, b"%d" % n, key=key) for n in range(50))]
    yield "ping-16-bit-form", [frame(PING, b"p", key=key, form=16)]


def closes(key: bytes | None) -> Iterator[Blob]:
    yield "close-empty", [close(key=key)]
    yield "close-one-byte", [frame(CLOSE, b"\x03", key=key)]
    for code in CLOSE_CODES:
        yield f"close-{code}", [close(code, b"why", key=key)]
    yield "close-reason-123", [close(1000, b"r" * 123, key=key)]
    yield "close-reason-124", [close(1000, b"r" * 124, key=key)]
    yield "close-reason-bad-utf8", [close(1000, b"\xff\xfe", key=key)]
    yield "close-reason-cut-utf8", [close(1000, "tschüß".encode()[:-1], key=key)]
    yield "close-then-text", [close(1000, key=key), frame(TEXT, b"too late", key=key)]
    yield "close-then-ping", [close(1000, key=key), frame(PING, b"too late", key=key)]
    yield "close-twice", [close(1000, key=key) + close(1001, key=key)]
    yield "close-then-noise", [close(1002, key=key) + noise(100)]
    yield "close-inside-message", [frame(TEXT, b"a", fin=False, key=key), close(1001, key=key)]


def fragments(key: bytes | None) -> Iterator[Blob]:
    first, last = frame(TEXT, b"fr1", fin=False, key=key), frame(CONT, b"fr2", key=key)
    middle = frame(CONT, b"mid", fin=False, key=key)
    yield "fragments-2", [first, last]
    yield "fragments-2-one-segment", [first + last]
    yield "fragments-3", [first, middle, last]
    yield "fragments-20-empty", [frame(BINARY, fin=False, key=key), *[frame(CONT, fin=False, key=key)] * 18]
    yield "fragments-ping-between", [first, frame(PING, b"between", key=key), last]
    yield "fragments-ping-between-one-segment", [first + frame(PING, b"between", key=key) + last]
    yield "fragments-pong-between", [first, frame(PONG, b"between", key=key), last]
    yield (
        "fragments-pings-everywhere",
        [first, frame(PING, b"1", key=key), middle, frame(PING, b"2", key=key), last],
    )
    yield "fragments-never-finished", [first, middle]
    yield "fragments-lone-continuation", [last, frame(TEXT, b"after", key=key)]
    yield "fragments-text-inside", [first, frame(TEXT, b"inside", key=key), last]
    yield "fragments-text-begun-twice", [first, first, last]
    yield "fragments-continued-after-end", [first, last, last]
    yield (
        "fragments-utf8-split",
        [frame(TEXT, b"\xe2\x82", fin=False, key=key), frame(CONT, b"\xac", key=key)],
    )
    yield "fragments-utf8-bad-at-once", [frame(TEXT, b"\xff", fin=False, key=key), last]
    yield "fragments-empty-ends", [frame(TEXT, fin=False, key=key), middle, frame(CONT, key=key)]
    yield (
        "fragments-big",
        [frame(BINARY, noise(40_000), fin=False, key=key), frame(CONT, noise(40_000), key=key)],
    )
    yield (
        "fragments-bytewise",
        [frame(TEXT if n == 0 else CONT, b"x", fin=n == 9, key=key) for n in range(10)],
    )


def texts(key: bytes | None) -> Iterator[Blob]:
    for name, payload in UTF8.items():
        yield f"utf8-{name}", [frame(TEXT, payload, key=key), frame(TEXT, b"after", key=key)]


def deliveries(key: bytes | None) -> Iterator[Blob]:
    long = frame(BINARY, noise(300), key=key, form=64)
    for cut in range(1, 15):
        yield f"split-header-at-{cut}", [long[:cut], long[cut:]]
    small = frame(TEXT, b"slow", key=key)
    yield "byte-by-byte", [small[n : n + 1] for n in range(len(small))]
    yield "two-in-one-segment", [small * 2]
    yield "hundred-in-one-segment", [small * 100]
    yield "one-and-a-half", [small + small[:3], small[3:]]
    yield "ten-thousand-small", [frame(TEXT, b"0123456789" * 6, key=key) * 10_000]
    yield "megabyte-frame", [frame(BINARY, noise(1 << 20), key=key)]


def strangers(key: bytes | None) -> Iterator[Blob]:
    for size in (1, 10, 100, 1000, 100_000):
        yield f"noise-{size}", [noise(size, size)]
    yield "http-request", [b"GET /next HTTP/1.1\r\nHost: lab.example\r\n\r\n"]
    yield "http-response", [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"]
    yield "http-second-101", [b"HTTP/1.1 101 Switching Protocols\r\n\r\n"]
    yield "begins-with-crlf", [b"\r\n\r\n" + frame(TEXT, b"after", key=key)]
    yield "begins-with-lf", [b"\n\n" + frame(TEXT, b"after", key=key)]
    yield "chunk-end", [b"0\r\n\r\n" + frame(TEXT, b"after", key=key)]
    yield "tls-hello", [bytes.fromhex("1603010005010000010303")]
    yield "http2-preface", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    yield "proxy-protocol", [b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n"]
    yield "zeros", [bytes(4096)]


def compressed(key: bytes | None) -> Iterator[Blob]:
    hello, again = deflate(b"Hello" * 40, b"Hello" * 40)
    alone = deflate(b"Hello" * 40, b"Hello" * 40, takeover=False)
    yield "deflate-message", [frame(TEXT, hello, rsv=4, key=key)]
    yield "deflate-takeover", [frame(TEXT, hello, rsv=4, key=key), frame(TEXT, again, rsv=4, key=key)]
    yield "deflate-no-takeover", [frame(TEXT, payload, rsv=4, key=key) for payload in alone]
    yield "deflate-mixed", [frame(TEXT, hello, rsv=4, key=key), frame(TEXT, b"plain", key=key)]
    yield (
        "deflate-fragments",
        [
            frame(TEXT, hello[:5], fin=False, rsv=4, key=key),
            frame(PING, key=key),
            frame(CONT, hello[5:], key=key),
        ],
    )
    yield (
        "deflate-rsv1-on-continuation",
        [
            frame(TEXT, hello[:5], fin=False, rsv=4, key=key),
            frame(CONT, hello[5:], rsv=4, key=key),
        ],
    )
    yield "deflate-broken", [frame(TEXT, b"\xff\xff\xff broken", rsv=4, key=key), frame(TEXT, b"on", key=key)]
    yield "deflate-empty", [frame(TEXT, b"\0", rsv=4, key=key), frame(TEXT, b"", rsv=4, key=key)]
    yield "deflate-tail-left-on", [frame(TEXT, hello + b"\0\0\xff\xff", rsv=4, key=key)]
    yield (
        "deflate-window-8",
        [frame(TEXT, payload, rsv=4, key=key) for payload in deflate(b"w" * 600, wbits=9)],
    )
    yield "deflate-bomb", [frame(BINARY, deflate(bytes(4 << 20))[0], rsv=4, key=key)]
    yield "deflate-ping-rsv1", [frame(PING, b"p", rsv=4, key=key)]


FAMILIES = {
    "lengths": lengths,
    "opcodes": opcodes,
    "reserved-bits": reserved_bits,
    "masks": masks,
    "control": control,
    "closes": closes,
    "fragments": fragments,
    "texts": texts,
    "deliveries": deliveries,
    "strangers": strangers,
}
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


def _talk(sender: str, chunks: list[bytes]) -> tuple[Step, ...]:
    """Send the chunks, answer with a marker (both directions live), then end in order."""
    here, there = (C, S) if sender == "c" else (S, C)
    marker = frame(TEXT, b"marker", key=None if sender == "c" else KEY)
    steps: list[Step] = []
    for chunk in chunks:
        steps += [here.send(chunk), there.sync()]
    return (*steps, there.send(marker), here.sync(), here.bye(), there.end(), there.bye(), here.end())


def frame_cases() -> list[Case]:
    """All frame cases of both directions."""
    cases = []
    for sender, key in (("c", KEY), ("s", None)):
        way = "c2s" if sender == "c" else "s2c"
        for family, make in FAMILIES.items():
            cases += [
                Case(f"{way}-{name}", f"{family}-{way}", _talk(sender, blob)) for name, blob in make(key)
            ]
        for name, blob in compressed(key):
            steps = _talk(sender, blob)
            cases.append(Case(f"{way}-{name}", f"deflate-{way}", steps, (DEFLATE,), (DEFLATE,)))
        cases += _truncated(sender, way, key)
    return cases


def _truncated(sender: str, way: str, key: bytes | None) -> Iterator[Case]:
    """A frame whose sender ends in the middle of it."""
    here, there = (C, S) if sender == "c" else (S, C)
    whole = frame(BINARY, noise(300), key=key, form=64)
    ways = {
        "fin": (here.fin(), there.end(), there.bye(), here.end()),
        "bye": (here.bye(), there.end(), there.bye(), here.end()),
        "rst": (here.rst(), there.end()),
        "close": (here.close(), there.end()),
    }
    for cut in (1, 2, 3, 6, 9, 10, 12, 14, 15, 100, len(whole) - 1):
        for name, ending in ways.items():
            steps = (here.send(whole[:cut]), there.sync(), *ending)
            yield Case(f"{way}-cut-at-{cut}-{name}", f"truncated-{way}", steps)
