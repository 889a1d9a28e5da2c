"""A breakpoint from a filter: on messages, or on handshakes where it asks about the connection alone."""

from __future__ import annotations

from wsinspect.faults.rule import Rule

#: Filter keys that a handshake answers as well; with them alone there is no frame to wait for.
_HANDSHAKE_KEYS = frozenset(("path", "host", "header", "proto", "tap"))


def breakpoint_rule(text: str) -> Rule:
    """The rule of `--break FILTER`; an empty filter holds every message.

    Raises:
        FaultError: the filter cannot be read, or asks for what is not known when a frame passes.
    """
    message = Rule.parse({"kind": "break", "name": "break", "match": text})
    keys = message.filter.keys if message.filter is not None else frozenset()
    if keys and keys <= _HANDSHAKE_KEYS:
        return Rule.parse({"kind": "break_handshake", "name": "break", "match": text})
    return message
