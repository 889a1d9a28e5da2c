"""The bytes at a place as numbers of every width, both ways round, and numbers that may be times.

Contract: pure. A number is called a time only where it falls into years in which software ran, and only by a
name or a width that times have; everything else stays a number.
"""

from __future__ import annotations

import datetime
import re
import struct
from typing import Final

#: 2010 and 2040: outside of them a number of the right width is more likely something else.
_FIRST_S: Final = 1_262_304_000
_LAST_S: Final = 2_208_988_800
#: Seconds are ten digits, as many other numbers are: by these names they are times.
_TIME_NAME: Final = re.compile(
    r"(?:^|[_\-.])(?:t|ts|time|timestamp|date|at|on|when|exp|iat|nbf|expires?|expiry|since|until|start(?:ed)?|"
    r"end(?:ed)?|created|updated|modified|deleted|sent|received|seen|now|utc|epoch)(?:$|[_\-.])",
    re.IGNORECASE,
)
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_DIVISORS: Final = {10: 1, 13: 10**3, 16: 10**6, 19: 10**9}


def time_words(number: str, name: str = "", *, is_utc: bool = True) -> str:
    """A number of a payload as a date and time, where it is one; else empty.

    Args:
        number: as it was written, e.g. `1764438590123`.
        name: of the member, which decides about seconds.
    """
    whole, _, fraction = number.partition(".")
    if (
        not whole.isascii()
        or not whole.isdigit()
        or (fraction and (len(whole) != 10 or not fraction.isdigit()))
    ):
        return ""
    divisor = _DIVISORS.get(len(whole))
    if divisor is None or (divisor == 1 and not is_time_name(name)):
        return ""
    nanoseconds = int(whole) * (10**9 // divisor) + (int(fraction[:9].ljust(9, "0")) if fraction else 0)
    return moment_words(nanoseconds, is_utc=is_utc)


def is_time_name(name: str) -> bool:
    """Whether a member of this name holds a time: `exp`, `createdAt`, `last_seen`."""
    return bool(_TIME_NAME.search(_CAMEL.sub("_", name)))


def moment_words(time_ns: int, *, is_utc: bool = True) -> str:
    """Date and time to the millisecond; empty where it is not between 2010 and 2040."""
    if not _FIRST_S * 10**9 <= time_ns < _LAST_S * 10**9:
        return ""
    moment = datetime.datetime.fromtimestamp(time_ns // 10**9, datetime.UTC)
    moment = moment if is_utc else moment.astimezone()
    return f"{moment:%Y-%m-%d %H:%M:%S}.{time_ns // 10**6 % 1000:03}{' UTC' if is_utc else ''}"


def value_words(data: bytes, *, is_utc: bool = True) -> list[str]:
    """The first eight bytes of `data` as numbers: what each may be, in words of one piece."""
    if not data:
        return []
    found = [f"u8 {data[0]}", f"i8 {data[0] - 256 if data[0] > 127 else data[0]}", f"bits {data[0]:08b}"]
    for size, unsigned, signed in ((2, "H", "h"), (4, "I", "i"), (8, "Q", "q")):
        if len(data) >= size:
            part = data[:size]
            found.append(f"u{8 * size} le {_read('<', unsigned, part)} be {_read('>', unsigned, part)}")
            found.append(f"i{8 * size} le {_read('<', signed, part)} be {_read('>', signed, part)}")
    for size, code in ((4, "f"), (8, "d")):
        if len(data) >= size:
            part = data[:size]
            little, big = (f"{_read(order, code, part):.6g}" for order in "<>")
            found.append(f"f{8 * size} le {little} be {big}")
    return found + [f"time {words}" for words in _times(data, is_utc)]


def _read(order: str, code: str, part: bytes) -> float:
    value: float = struct.unpack(order + code, part)[0]
    return value


def _times(data: bytes, is_utc: bool) -> list[str]:
    """What the bytes say as seconds in four bytes, or milliseconds in eight."""
    found = []
    for size, unit_ns, unit in ((4, 10**9, "s"), (8, 10**6, "ms")):
        for name, order in (("le", "little"), ("be", "big")):
            if len(data) < size:
                continue
            value = int.from_bytes(data[:size], "little" if order == "little" else "big")
            if words := moment_words(value * unit_ns, is_utc=is_utc):
                found.append(f"{unit} {name} {words}")
    return found
