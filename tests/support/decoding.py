"""Decoders under test: payloads, and what is asked of every decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from wsinspect import decoders
from wsinspect.decoders import Decoded, Payload
from wsinspect.decoders.limits import MAX_LINES, MAX_SUMMARY

EIO = "/socket.io/?EIO=4&transport=websocket"
BY_NAME = {decoder.name: decoder for decoder in decoders.known()}


def text(data: str, **facts: Any) -> Payload:
    return Payload(data.encode(), True, **facts)


def binary(data: bytes, **facts: Any) -> Payload:
    return Payload(data, False, **facts)


def stomp(data: bytes) -> Payload:
    return Payload(data, True, "v12.stomp")


def names(payload: Payload) -> list[str]:
    return [decoder.name for decoder in decoders.decoders_for(payload)]


def read(name: str, payload: Payload) -> Decoded:
    return decoders.decode(BY_NAME[name], payload)


def lines(name: str, payload: Payload) -> list[str]:
    decoded = read(name, payload)
    assert decoded.problem is None, decoded
    return list(decoded.lines)


#: What it is, payload, the decoder that is to fit first, its lines, its summary.
Case = tuple[str, Payload, str, list[str] | None, str | None]


def for_each(cases: Sequence[Case]) -> pytest.MarkDecorator:
    """Parametrizes a test over cases, as `case`."""
    return pytest.mark.parametrize("case", cases, ids=[case[0] for case in cases])


def reads(case: Case) -> None:
    """The decoder fits first, and gives these lines and this summary."""
    _, payload, name, expected, words = case
    assert names(payload)[0] == name
    decoded = lines(name, payload)
    assert decoded
    if expected is not None:
        assert decoded == expected
    assert decoders.summary(payload) == words


def reads_cuts(case: Case) -> None:
    """Every beginning of the payload is read as far as it goes."""
    _, payload, name, *_ = case
    whole = len(lines(name, payload))
    for size in range(len(payload.data)):
        cut = payload._replace(data=payload.data[:size])
        decoded = read(name, cut)
        assert len(decoded.lines) <= whole + 1
        words = decoders.summary(cut._replace(is_whole=False))
        assert words is None or 0 < len(words) <= MAX_SUMMARY


def is_bounded(payload: Payload, name: str) -> None:
    """A payload that was made to harm costs no lines, and ends within the time that every test has."""
    decoded = read(name, payload)
    decoders.summary(payload)
    decoders.decoders_for(payload)
    assert len(decoded.lines) <= MAX_LINES
    assert all(len(line) < 5_000 for line in decoded.lines)
