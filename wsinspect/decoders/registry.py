"""Which decoders there are, and which of them a payload is for."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice

from wsinspect.decoders import (
    actioncable,
    engineio,
    graphql,
    messagepack,
    mqtt,
    phoenix,
    signalr,
    sockjs,
    stomp,
)
from wsinspect.decoders.limits import MAX_BYTES, MAX_LINES, SUMMARY_BYTES
from wsinspect.decoders.model import Decoded, Decoder, Malformed, Payload, brief

#: Those named by a subprotocol or a path come first; MessagePack, which anything may be, comes last.
_BUILT_IN = (
    engineio.DECODER,
    graphql.DECODER,
    actioncable.DECODER,
    phoenix.DECODER,
    signalr.DECODER,
    stomp.DECODER,
    mqtt.DECODER,
    sockjs.DECODER,
    messagepack.DECODER,
)
_known: list[Decoder] = list(_BUILT_IN)


def register(decoder: Decoder) -> None:
    """Offer one more, before the others; one of the same name is replaced."""
    _known[:] = [decoder, *(known for known in _known if known.name != decoder.name)]
    _asked.cache_clear()


def unregister(name: str) -> None:
    """Withdraw one; a built-in one of that name is offered again."""
    _known[:] = [known for known in _known if known.name != name]
    _known.extend(known for known in _BUILT_IN if known.name == name)
    _asked.cache_clear()


def known() -> tuple[Decoder, ...]:
    """All decoders in the order in which they are asked: registered ones first, then the built-in ones."""
    return tuple(_known)


def decoders_for(payload: Payload) -> list[Decoder]:
    """Those that have something to say about a payload, the likeliest first."""
    return [decoder for decoder in _known if decoder.fits(payload)]


def decode(decoder: Decoder, payload: Payload) -> Decoded:
    """A payload taken apart, as far as that goes."""
    if len(payload.data) > MAX_BYTES or not payload.is_whole:
        return Decoded(
            (), f"longer than {MAX_BYTES} bytes, the most that is decoded; text and hex show all of it"
        )
    lines: list[str] = []
    try:
        for line in islice(decoder.lines(payload), MAX_LINES):
            lines.append(line)  # one by one: those before an error are kept
    except Malformed as error:
        return Decoded(tuple(lines), str(error))
    except RecursionError:
        return Decoded(tuple(lines), "nested too deeply")
    if len(lines) >= MAX_LINES:
        return Decoded(tuple(lines), f"only the first {MAX_LINES} lines are shown")
    return Decoded(tuple(lines))


@lru_cache(maxsize=1024)
def _asked(subprotocol: str | None, path: str, first: bytes) -> list[tuple[Decoder, tuple[bytes, ...]]]:
    """Those that are sure of what they say and may know payloads that begin so, with the signs of those."""
    return [
        (each, signs)
        for each in _known
        if each.is_sure and (signs := each.signs_in(subprotocol, path, first)) is not None
    ]


def summary_signs(subprotocol: str | None, path: str, first: bytes) -> tuple[bytes, ...] | None:
    """What spares a reader of many payloads most calls of `summary`.

    Args:
        subprotocol, path: of the connection, as in `Payload`.
        first: the first byte of a payload.

    Returns:
        Byte strings one of which is in every payload that begins so and has a summary. Empty: nothing is
        known of such payloads; None: no decoder has words about any.
    """
    asked = _asked(subprotocol, path, first)
    if not asked:
        return None
    if not all(signs for _, signs in asked):
        return ()
    return tuple(dict.fromkeys(sign for _, signs in asked for sign in signs))


def summary(payload: Payload) -> str | None:
    """A payload in a few words, by the decoder that it is surely for; None without one."""
    begin = payload
    if len(payload.data) > SUMMARY_BYTES:
        begin = payload._replace(data=payload.data[:SUMMARY_BYTES], is_whole=False)
    for decoder, _ in _asked(payload.subprotocol, payload.path, payload.data[:1]):
        if decoder.fits(begin):
            try:
                words = decoder.summary(begin)
            except (Malformed, RecursionError):
                return None
            return brief(words) if words else None
    return None
