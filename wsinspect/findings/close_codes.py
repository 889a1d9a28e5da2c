"""Close codes from 3000 to 4999 whose meaning is known: registered ones, and those of libraries and services
that a connection shows signs of (`data/close_codes.toml`)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final, Literal, NamedTuple

from wsinspect.findings.data import table


class KnownCode(NamedTuple):
    """What a private close code means.

    Attributes:
        library: whose code it is.
        who: whose mistake it says that it was.
        is_general: not of one library: then it says only what the sender says of the other side.
    """

    library: str
    name: str
    meaning: str
    who: Literal["client", "server"]
    is_general: bool = False


class _Set(NamedTuple):
    name: str
    subprotocols: frozenset[str]
    places: re.Pattern[str] | None
    reasons: re.Pattern[str] | None
    codes: dict[int, KnownCode]

    @property
    def is_general(self) -> bool:
        return not self.subprotocols and self.places is None and self.reasons is None

    def fits(self, subprotocols: Iterable[str], place: str, reason: str) -> bool:
        return (
            not self.subprotocols.isdisjoint(subprotocols)
            or (self.places is not None and self.places.search(place) is not None)
            or (self.reasons is not None and self.reasons.search(reason) is not None)
        )


def _set(one: dict[str, Any]) -> _Set:
    places, reasons = one.get("places"), one.get("reasons")
    return _Set(
        one["name"],
        frozenset(one.get("subprotocols", ())),
        re.compile(places, re.I) if places else None,
        re.compile(reasons, re.I) if reasons else None,
        {code: KnownCode(one["name"], *words) for code, *words in one["codes"]},
    )


_SETS: Final = tuple(map(_set, table("close_codes")["set"]))


def known_code(code: int, *, subprotocols: Iterable[str], place: str, reason: str) -> KnownCode | None:
    """What a code from 3000 to 4999 means on this connection; None for an application's own.

    Args:
        subprotocols: offered or chosen.
        place: host, port where it is not the usual one, and path with its query: `api.example.org/v1?x=1`.
        reason: the reason of the CLOSE frame.
    """
    offered = tuple(subprotocols)
    for one in _SETS:
        if not one.is_general and code in one.codes and one.fits(offered, place, reason):
            return one.codes[code]
    for one in _SETS:
        if one.is_general and code in one.codes:
            return one.codes[code]._replace(is_general=True)
    return _like_http(code)


def _like_http(code: int) -> KnownCode | None:
    """Many applications add 4000 to an HTTP status: 4401 is 401 Unauthorized."""
    try:
        status = HTTPStatus(code - 4000)
    except ValueError:
        return None
    if status < 400:
        return None
    who: Literal["client", "server"] = "client" if status < 500 else "server"
    return KnownCode(
        "by convention", f"HTTP's {status.value} {status.phrase}", "4000 and an HTTP status", who, True
    )
