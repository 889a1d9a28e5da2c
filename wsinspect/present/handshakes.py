"""An opening handshake as lines: what each side really saw, what was agreed, how long each step took."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from wsinspect.capture.missing import lacks
from wsinspect.capture.records import Connection, Handshake
from wsinspect.handshake.diff import Change, ChangeKind, diff_heads
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import accept_key, is_valid_key, negotiate
from wsinspect.present.cells import Line, wrap
from wsinspect.present.glyphs import Glyphs
from wsinspect.present.rows import duration
from wsinspect.present.words import end_words, javascript_words
from wsinspect.text import escape, escape_bytes, escape_lines, pad, truncate

#: The times of an attempt in the order in which they usually come, and what happened then.
STEPS: Final = (
    ("tcp_ns", "client connected"),
    ("tls_ns", "client TLS done"),
    ("request_in_ns", "request received"),
    ("server_tcp_start_ns", "server connect begun"),
    ("server_tcp_done_ns", "server connected"),
    ("server_tls_done_ns", "server TLS done"),
    ("request_out_ns", "request sent on"),
    ("response_in_ns", "response received"),
    ("response_out_ns", "response sent on"),
)
_BODY_LINES: Final = 40
_MARKS: Final = {
    ChangeKind.SAME: (" ", "same"),
    ChangeKind.CHANGED: ("~", "changed"),
    ChangeKind.ADDED: ("+", "changed"),
    ChangeKind.REMOVED: ("-", "changed"),
    ChangeKind.MOVED: (">", "changed"),
}


def head_of(raw: bytes | None) -> RawHead | None:
    """A stored header block, parsed; None where there was none."""
    return RawHead.parse(raw) if raw else None


def steps_of(handshake: Handshake) -> list[tuple[int, str]]:
    """What happened, and when, in the order of time."""
    return sorted(
        (time_ns, words) for name, words in STEPS if (time_ns := getattr(handshake, name)) is not None
    )


def tls_words(facts: dict[str, Any]) -> str:
    """One side's TLS: version, cipher, ALPN, SNI. Not escaped."""
    offered = listed(facts.get("alpn_offered")) or "nothing"
    said = (
        f"{facts.get('version')} {facts.get('cipher')}, ALPN {facts.get('alpn') or '-'} (offered {offered})"
    )
    return said + (f", SNI {facts['sni']}" if facts.get("sni") else "")


def listed(names: Any) -> str:
    """Names of a capture that may be a stranger's, by commas."""
    return ", ".join(map(str, names)) if isinstance(names, list) else str(names or "")


def fact_lines(connection: Connection, handshake: Handshake | None) -> Iterator[Line]:
    """Peers, agreement, certificates, steps."""
    yield _fact(
        "client",
        f"{connection.client or '-'} at {connection.listener or '-'}, {connection.http_version or '-'}",
    )
    server = connection.server or (handshake.server_address if handshake else None) or "not reached"
    yield _fact("server", f"{server}, {connection.server_http_version or '-'}")
    if handshake is not None:
        yield from _agreement(connection, handshake)
        yield from _tls_lines("client TLS", handshake.client_tls)
        yield from _tls_lines("server TLS", handshake.server_tls)
        yield from step_lines(connection, handshake)
    if connection.error:
        yield [("error       ", "muted"), (escape(connection.error), "error")]
    if (gone := lacks(connection)) is not None:
        yield [("missing     ", "muted"), (gone.words, "warn")]
    yield _fact("ended", end_words(connection), is_escaped=True)
    yield _fact("JavaScript", javascript_words(connection), is_escaped=True)


def _fact(name: str, words: str, *, is_escaped: bool = False) -> Line:
    return [(f"{name:<12}", "muted"), (words if is_escaped else escape(words), "")]


def _agreement(connection: Connection, handshake: Handshake) -> Iterator[Line]:
    request, response = head_of(handshake.request_in), head_of(handshake.response_in)
    agreed = negotiate(request, response)
    took = ""
    if handshake.request_in_ns and handshake.response_out_ns:
        took = f" in {duration(handshake.response_out_ns - handshake.request_in_ns)}"
    status = "no response" if connection.status is None else f"{connection.status}{took}"
    yield _fact("answer", f"{status}; {accept_words(request, response)}")
    offered = ", ".join(agreed.subprotocols_offered) or "none"
    yield _fact("subprotocol", f"{agreed.subprotocol or 'none'} (offered: {offered})")
    extensions = ", ".join(map(str, agreed.extensions)) or "none"
    offers = ", ".join(map(str, agreed.extensions_offered)) or "none"
    yield _fact("extensions", f"{extensions} (offered: {offers})")
    if handshake.problems:
        yield [("broken      ", "muted"), (escape(", ".join(map(str, handshake.problems))), "error")]


def accept_words(request: RawHead | None, response: RawHead | None) -> str:
    """Whether key and accept belong together."""
    key = request.get("Sec-WebSocket-Key") if request else None
    accept = response.get("Sec-WebSocket-Accept") if response else None
    if key is None:
        return "no Sec-WebSocket-Key"
    valid = "key of 16 bytes" if is_valid_key(key) else "key is not 16 bytes in Base64"
    if accept is None:
        return f"{valid}, no Sec-WebSocket-Accept"
    return f"{valid}, accept {'right' if accept == accept_key(key) else 'WRONG'}"


def _tls_lines(name: str, facts: dict[str, Any] | None) -> Iterator[Line]:
    if not facts:
        return
    yield _fact(name, tls_words(facts))
    certificate = facts.get("certificate")
    if isinstance(certificate, dict):
        verified = "verified" if facts.get("verified") is True else "NOT verified"
        yield _fact("certificate", f"{certificate.get('subject')} by {certificate.get('issuer')}, {verified}")
        validity = f"{certificate.get('not_before')} to {certificate.get('not_after')}"
        yield _fact("", f"for {listed(certificate.get('sans'))}; valid {validity}")
        yield _fact("", f"SHA-256 {certificate.get('sha256')}")


def step_lines(connection: Connection, handshake: Handshake) -> Iterator[Line]:
    """When each step was done, and how long after the one before."""
    known = steps_of(handshake)
    zero = connection.attempt_ns if connection.attempt_ns is not None else known[0][0] if known else 0
    before = known[0][0] if known else 0
    for number, (time_ns, words) in enumerate(known):
        name = "" if number else "steps"
        at = f"{(time_ns - zero) / 1e6:+10.3f} ms"
        yield [
            (f"{name:<12}", "muted"),
            (f"{at}  {words:<22}", ""),
            (f"+{duration(time_ns - before)}", "muted"),
        ]
        before = time_ns


def side_by_side(
    connection: Connection, handshake: Handshake, width: int, *, only_differences: bool, glyphs: Glyphs
) -> Iterator[Line]:
    """Both heads of the request, then of the response: as received at the left, as forwarded at the right."""
    half = max((width - 3) // 2, 10)
    for title, before, after, names in (
        ("request", handshake.request_in, handshake.request_out, ("CLIENT to PROXY", "PROXY to SERVER")),
        ("response", handshake.response_in, handshake.response_out, ("SERVER to PROXY", "PROXY to CLIENT")),
    ):
        yield _pair(names[0], names[1], half, "title", " ", glyphs)
        yield from _head_pair(title, head_of(before), head_of(after), half, only_differences, glyphs)
        if title == "request" and handshake.informational:
            for line in escape_lines(
                handshake.informational.rstrip(b"\r\n").decode("utf-8", "backslashreplace")
            ):
                yield [(f"  1xx  {line}", "note")]
    if handshake.body:
        yield [("", "")]
        yield [(f"beginning of the body ({len(handshake.body)} bytes kept)", "title")]
        lines = escape_lines(handshake.body.decode("utf-8", "backslashreplace"))
        for line in lines[:_BODY_LINES]:
            yield [(f"  {line}", "")]


def _head_pair(
    title: str,
    before: RawHead | None,
    after: RawHead | None,
    half: int,
    only_differences: bool,
    glyphs: Glyphs,
) -> Iterator[Line]:
    if before is None and after is None:
        yield [(f"  no {title} was seen", "warn")]
        return
    if before is None or after is None:
        head = before or after
        assert head is not None
        yield [(f"  {title} {'made by the proxy' if before is None else 'not sent on'}", "warn")]
        for line in escape_lines(head.head.rstrip(b"\r\n").decode("utf-8", "backslashreplace")):
            cells = truncate(line, half - 2)
            yield (
                _pair("", cells, half, "", " ", glyphs)
                if before is None
                else _pair(cells, "", half, "", " ", glyphs)
            )
        return
    changes = diff_heads(before, after)
    shown = [one for one in changes if one.kind is not ChangeKind.SAME or not only_differences]
    for change in shown:
        yield from _change(change, half, glyphs)
    if not shown:
        yield [(f"  {len(changes)} lines, all the same", "same")]
    if before.rest:
        yield [(f"  + {len(before.rest)} bytes after the head: {before.rest[:16].hex(' ')}", "note")]


def _change(change: Change, half: int, glyphs: Glyphs) -> Iterator[Line]:
    mark, style = _MARKS[change.kind]
    left = escape_bytes(change.before) if change.before is not None else ""
    right = escape_bytes(change.after) if change.after is not None else ""
    if change.kind is ChangeKind.SAME:
        right = "="
    lefts, rights = wrap(left, half - 2), wrap(right, half - 2)
    for number in range(max(len(lefts), len(rights))):
        begin = lefts[number] if number < len(lefts) else ""
        end = rights[number] if number < len(rights) else ""
        yield _pair(begin, end, half, "" if style == "same" else style, mark if number == 0 else " ", glyphs)


def _pair(left: str, right: str, half: int, style: str, mark: str, glyphs: Glyphs) -> Line:
    return [
        (f"{mark} ", "changed"),
        (pad(truncate(left, half - 2), half - 2), style),
        (f" {glyphs.column} ", "rule"),
        (truncate(right, half - 2), "same" if right == "=" else style),
    ]
