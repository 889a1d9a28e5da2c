"""Random scripts: arbitrary bytes in arbitrary pieces, both directions at once, ended in any way.

The seed is in the case's name, so a failure can be played again. Nothing here depends on time: a reset comes
only after both sides have everything, because data that races one is lost by the kernel on a direct
connection, too.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.support.bytes_of_frames import CONT, KEY, PING, TEXT, close, frame
from tests.support.script import C, Case, S, Step

SIDES = {"c": (C, S), "s": (S, C)}
COUNT = 150
#: The first ones are a family of their own, small enough for `make test`.
FEW = 30
#: Every payload is cut out of this: to draw each byte of each piece would take a second on every worker.
_NOISE = random.Random(0).randbytes(1 << 18)


def random_cases() -> Iterator[Case]:
    for seed in range(COUNT):
        dice = random.Random(seed)
        steps = [*_talk(dice), *_end(dice)]
        family = "random" if seed < FEW else "random-rest"
        yield Case(
            f"random-{seed}", family, tuple(steps), joined=_piece(dice, None) if seed % 3 == 0 else b""
        )


def _talk(dice: random.Random) -> Iterator[Step]:
    for _ in range(dice.randrange(1, 40)):
        here, there = SIDES[dice.choice("cs")]
        yield here.send(_piece(dice, KEY if here is C else None))
        if dice.random() < 0.3:
            yield there.sync()


def _noise(dice: random.Random, size: int) -> bytes:
    start = dice.randrange(len(_NOISE) - size)
    return _NOISE[start : start + size]


def _piece(dice: random.Random, key: bytes | None) -> bytes:
    """Whole frames, parts of frames, or noise."""
    size = dice.choice((0, 1, 5, 60, 125, 126, 700, 20_000, 65_536, 150_000))
    whole = frame(
        dice.choice((CONT, TEXT, PING, dice.randrange(16))),
        _noise(dice, min(size, 70_000)),
        fin=dice.random() < 0.8,
        rsv=dice.choice((0, 0, 0, dice.randrange(8))),
        key=key if dice.random() < 0.9 else None,
    )
    match dice.randrange(6):
        case 0:
            return _noise(dice, size + 1)
        case 1:
            return whole[: dice.randrange(1, len(whole) + 1)]
        case 2:
            return whole * dice.randrange(1, 5)
        case 3:
            return close(dice.randrange(65536), b"why", key=key)
        case _:
            return whole


def _end(dice: random.Random) -> list[Step]:
    here, there = SIDES[dice.choice("cs")]
    more = _piece(dice, KEY if there is C else None)
    match dice.randrange(5):
        case 0:
            return [C.sync(), S.sync(), here.rst(), there.end()]
        case 1:
            return [
                here.fin(),
                there.sync(),
                there.end(),
                there.send(more),
                here.sync(),
                there.fin(),
                here.end(),
            ]
        case 2:
            return [C.bye(), S.bye(), C.sync(), S.sync(), C.end(), S.end()]
        case 3:
            return [
                here.bye(),
                there.end(),
                there.send(more),
                here.sync(),
                C.sync(),
                S.sync(),
                there.rst(),
                here.end(),
            ]
        case _:
            return [here.bye(), there.sync(), there.end(), there.bye(), here.sync(), here.end()]
