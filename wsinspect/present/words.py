"""Connections, their ends and listeners in words, once for commands and timeline. All of it is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from wsinspect.capture.missing import lacks
from wsinspect.capture.records import Connection
from wsinspect.findings.provenance import Card
from wsinspect.net import bracketed
from wsinspect.present.cells import Line
from wsinspect.text import cell_width, escape
from wsinspect.units import format_duration, format_size
from wsinspect.vocabulary.rules import rule_words
from wsinspect.wire.close_codes import close_name

#: Cells of the names in front of facts.
_NAME_CELLS: Final = 14
#: By grade of a client, what it is drawn with.
GRADE_STYLES: Final = {"A": "note", "B": "note", "C": "warn", "D": "warn", "E": "error", "F": "error"}
_LOST_END: Final = "its end was not recorded"
_PROXY_EXITED: Final = "the proxy exited"
_NO_CLOSE: Final = "no CLOSE"
#: How connections end, as people write it.
_ENDS: Final = {"fin": "FIN", "rst": "RST", "close-frame": "CLOSE frame"}
#: Who ends connections, where no rule of ours does.
_ENDERS: Final = frozenset({"client", "server", "proxy"})


def fact(name: str, words: str, style: str = "") -> Line:
    """A line of a name and what is known by it, escaped already."""
    return [(f"{name:<{_NAME_CELLS}}", "muted"), (words, style)]


#: How an error begins that names places: its reason is behind a colon.
_NO_WAY: Final = "cannot connect to "
#: No last words before an ellipsis.
_JOINING: Final = frozenset(
    {"a", "an", "and", "at", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with"}
)


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
        return _LOST_END if connection.gaps else _PROXY_EXITED
    if connection.closed_ns is None:
        return "-"
    return _ended(connection)[0]


def _ended(connection: Connection) -> list[str]:
    """How a connection ended that has, in forms from the longest to the shortest.

    Without a CLOSE frame, the FIN or RST says what happened, and the code that JavaScript sees stands before
    it: `1006: FIN by server, no CLOSE`. With close codes, these say it, and the rest is who and how.
    """
    codes = close_codes(connection)
    who = f"by {ender(connection)}" if connection.ended_by not in (None, "unknown") else ""
    how = "" if connection.how in (None, "close-frame") else _ENDS.get(connection.how, escape(connection.how))
    rest = " ".join(part for part in (how, who) if part)
    if not rest:
        return [codes]
    if not codes.endswith(_NO_CLOSE):
        return [f"{codes} {rest}" if not how else f"{codes}, {rest}", codes]
    code = codes.removesuffix(_NO_CLOSE).strip()
    begin = f"{code}: {rest}" if code else rest
    return [f"{begin}, {_NO_CLOSE}", *([begin] if code else []), rest]


def _begin(text: str, cells: int) -> str:
    """As many whole words of a text as fit; with an ellipsis where some do not."""
    if cell_width(text) <= cells:
        return text
    words = text.split(" ")
    while len(words) > 1 and (cell_width(" ".join(words)) >= cells or words[-1].strip(",:;") in _JOINING):
        words.pop()
    return f"{' '.join(words).rstrip(',:;')}…"


def end_in(connection: Connection, cells: int) -> str:
    """How it ended, in the longest form that is whole in so many cells; the shortest where none is.

    A FIN or RST as its end says that no CLOSE came, so these words go first, then the code that follows from
    it. Where CLOSE frames have codes, who ended it goes. A refusal is at least its status; of an error, its
    reason stands before the place, and whole words before parts of one.
    """
    forms = [end_words(connection)]
    if connection.state == "refused" and connection.status is not None:
        forms.append(f"HTTP {connection.status}")
    if connection.state == "failed":
        what, _, reason = forms[0].partition(": ")
        if what.startswith(_NO_WAY) and reason:
            forms += [f"cannot connect: {reason}", reason]
        forms.append(_begin(what.partition(" to ")[0] if what.startswith(_NO_WAY) else forms[0], cells))
    if connection.state not in ("refused", "failed", "lost") and connection.closed_ns is not None:
        forms = _ended(connection)
    return next((form for form in forms if cell_width(form) <= cells), forms[-1])


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
    """The close codes of both sides; where nobody knows how it ended, what is known."""
    client = _code(connection.client_close_code, connection.client_close_reason)
    server = _code(connection.server_close_code, connection.server_close_reason)
    if not client and not server:
        code = "" if connection.js_code is None else f"{connection.js_code} "
        return f"{code}{_NO_CLOSE}" if _is_end_known(connection) else code.strip() or "end not on record"
    if client == server or not server or not client:
        return client or server
    return f"{client}/{server}"


def _is_end_known(connection: Connection) -> bool:
    """Whether a CLOSE frame that is not there was not sent: bytes may be missing, or a format has none."""
    return connection.ended_by != "unknown" and not connection.gaps


def close_words(code: int | None, reason: str | None) -> str:
    """What a CLOSE frame says, escaped; one without a code has an empty reason, no frame has none."""
    if code is None:
        return "no CLOSE frame" if reason is None else "CLOSE without a code"
    return f"{code} {close_name(code)}" + (f' "{escape(reason)}"' if reason else "")


def _code(code: int | None, reason: str | None) -> str:
    if code is not None:
        return str(code)
    return "" if reason is None else "CLOSE"


def javascript_words(connection: Connection) -> str:
    """Code and `wasClean` of the CloseEvent in a browser, or that there is none yet."""
    if connection.js_code is None:
        return "nothing yet"
    clean = "true" if connection.js_was_clean else "false"
    return f"code {connection.js_code} ({close_name(connection.js_code)}), wasClean {clean}"


def end_lines(connection: Connection, card: Card | None = None) -> Iterator[Line]:
    """How a connection ended, a fact a line, and what the capture lacks of it.

    Args:
        card: the close provenance, of a connection that has ended after its 101.
    """
    yield [(_end_title(connection), "title")]
    if connection.open_ns is not None:
        more = "" if _is_end_known(connection) else " on record"
        for name, code, reason in (
            ("client sent", connection.client_close_code, connection.client_close_reason),
            ("server sent", connection.server_close_code, connection.server_close_reason),
        ):
            words = close_words(code, reason)
            yield fact(name, words + more if code is None and reason is None else words)
    if connection.js_code is not None:
        yield fact("JavaScript", javascript_words(connection))
    frames = f"{connection.c2s_frames} c>s, {connection.s2c_frames} s>c"
    sizes = f"{format_size(connection.c2s_bytes)} c>s, {format_size(connection.s2c_bytes)} s>c"
    yield fact("frames", f"{frames}; {sizes}")
    for name, words in card.lines() if card is not None else ():
        yield fact(name, escape(words))
    if gone := lacks(connection):
        yield fact("missing", gone.words, "warn")


def _end_title(one: Connection) -> str:
    if one.state == "lost":
        return f"Lost: {_LOST_END if one.gaps else f'{_PROXY_EXITED} while it was open'}"
    if one.ended_by is None and one.closed_ns is None:
        return f"Not ended: {escape(one.state)}"
    lasted = ""
    if one.closed_ns is not None and one.attempt_ns is not None:
        lasted = f" after {format_duration(one.closed_ns - one.attempt_ns)}"
    error = f" ({escape(one.error)})" if one.error else ""
    how = _ENDS.get(one.how or "", escape(one.how or "unknown"))
    if one.rule is not None and one.state == "refused":
        how = f"HTTP {one.status}{'' if one.ended_by == 'fault' else by_rule(one)}"
    the = "the " if one.ended_by in _ENDERS else ""
    return f"Ended by {the}{ender(one)}{lasted}: {how}{error}"


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
    """How long ago, in at most ten cells: `4 min 12 s`, `12 min`, `1.5 h`, `332 d`."""
    seconds = interval_ns / 1e9
    if seconds < 100:
        return f"{seconds:.1f} s"
    if seconds < 600:
        return format_duration(interval_ns, is_steady=True)
    if seconds < 3600:
        return f"{seconds // 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds // (24 * 3600):.0f} d"


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
    """A listener as `host:port`, IPv6 hosts in brackets."""
    return f"{bracketed(str(listener.get('host')))}:{listener.get('port')}"
