"""Connections, listeners and findings in a few words, escaped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from wsinspect.capture.records import Connection
from wsinspect.net import bracketed
from wsinspect.present.rows import duration
from wsinspect.text import escape
from wsinspect.vocabulary.rules import rule_words
from wsinspect.wire.close_codes import close_name

#: Of a connection of which bytes are missing, and that has no end in the capture.
LOST_END: Final = "its end could not be stored"


def state_word(connection: Connection) -> str:
    """The state in capitals."""
    return escape(connection.state.upper())


def end_words(connection: Connection) -> str:
    """How a connection ended, or why it never opened; a dash while it lives."""
    if connection.state == "refused":
        status = "no status" if connection.status is None else f"HTTP {connection.status}"
        return status + (f" {escape(connection.error)}" if connection.error else "") + by_rule(connection)
    if connection.state == "failed":
        return escape(connection.error or "failed") + by_rule(connection)
    if connection.state == "lost":
        return LOST_END if connection.gaps else "the engine died"
    if connection.closed_ns is None:
        return "-"
    codes = close_codes(connection)
    who = f" by {ender(connection)}" if connection.ended_by not in (None, "unknown") else ""
    how = "" if connection.how in (None, "close-frame") else f" {escape(connection.how)}"
    return f"{codes}{how}{who}"


def ender(connection: Connection) -> str:
    """Who ended it: a side, or the rule of ours that did."""
    if connection.ended_by == "fault" and connection.rule is not None:
        return escape(rule_words(connection.rule))
    return escape(connection.ended_by or "unknown")


def by_rule(connection: Connection) -> str:
    """Behind an answer or a failure: the rule of ours that gave it, or acted on the handshake before it."""
    if connection.rule is None or connection.open_ns is not None:
        return ""
    acted = "" if connection.ended_by == "fault" else " acted"
    return f" ({escape(rule_words(connection.rule))}{acted})"


def close_codes(connection: Connection) -> str:
    """The close codes of both sides."""
    client = _code(connection.client_close_code, connection.client_close_reason)
    server = _code(connection.server_close_code, connection.server_close_reason)
    if not client and not server:
        code = "" if connection.js_code is None else f"{connection.js_code} "
        return f"{code}no CLOSE"
    if client == server or not server or not client:
        return client or server
    return f"{client}/{server}"


def _code(code: int | None, reason: str | None) -> str:
    if code is not None:
        return str(code)
    return "" if reason is None else "CLOSE"


def javascript_words(connection: Connection) -> str:
    """What JavaScript sees."""
    if connection.js_code is None:
        return "nothing yet"
    clean = "true" if connection.js_was_clean else "false"
    return f"code {connection.js_code} ({close_name(connection.js_code)}), wasClean {clean}"


def target_words(connection: Connection) -> str:
    """Path, or the whole URL where there is none."""
    return escape(connection.path or connection.url)


def extension_words(connection: Connection) -> str:
    """The names of the agreed extensions, permessage-deflate as `deflate`."""
    if not connection.extensions:
        return "-"
    names = [part.split(";")[0].strip() for part in connection.extensions.split(",")]
    return escape(", ".join("deflate" if name == "permessage-deflate" else name for name in names))


def ago(interval_ns: int) -> str:
    """How long ago, short."""
    seconds = interval_ns / 1e9
    if seconds < 100:
        return f"{seconds:.1f} s"
    return duration(interval_ns).split(".")[0] if seconds < 3600 else f"{seconds / 3600:.1f} h"


def listening_words(
    listeners: Iterable[dict[str, Any]], taps: Iterable[dict[str, Any]]
) -> list[tuple[str, str]]:
    """Where the proxy listens and what it stands before, a pair a listener."""
    targets = {str(tap.get("tap")): tap.get("target") for tap in taps}
    return [
        (escape(address(one)), escape(str(targets.get(str(one.get("tap"))) or "any server (regular proxy)")))
        for one in listeners
    ]


def address(listener: dict[str, Any]) -> str:
    """`host:port`."""
    return f"{bracketed(str(listener.get('host')))}:{listener.get('port')}"
