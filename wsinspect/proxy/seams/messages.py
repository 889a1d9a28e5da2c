"""Seam: the type check of each request and response that mitmproxy makes (`http.MessageData.__post_init__`).

It is a check for mitmproxy's developers (`if __debug__`), of fields that its own HTTP layers fill in. For
each field that is None it raises and catches exceptions that hold on to their frames: 12 a WebSocket, a third
of the garbage that a client leaves for the cycle collector.
"""

from __future__ import annotations

from mitmproxy import http


def install_messages() -> None:
    """Leave the check out."""
    http.MessageData.__post_init__ = _trust  # type: ignore[method-assign]


def _trust(message: http.MessageData) -> None:
    return


__all__ = ["install_messages"]
