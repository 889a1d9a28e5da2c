"""An opening handshake as lines: peers, what was agreed, steps in time, heads with the proxy's changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from wsinspect.capture.records import Connection, Handshake
from wsinspect.handshake.diff import Change, ChangeKind, diff_heads
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import Negotiation, negotiate
from wsinspect.present.handshakes import head_of, listed, steps_of, tls_words
from wsinspect.present.terminal import Palette
from wsinspect.text import escape, escape_bytes, escape_lines, truncate
from wsinspect.units import format_duration

#: How much of a refused attempt's body is shown without `--payload`.
_BODY_LINES, _BODY_COLUMNS = 12, 120
_STEPS_A_LINE = 3
_MARKS = {
    ChangeKind.SAME: "   ",
    ChangeKind.ADDED: "+  ",
    ChangeKind.REMOVED: "-  ",
    ChangeKind.MOVED: ">  ",
}


def handshake_lines(
    connection: Connection, handshake: Handshake | None, palette: Palette, whole_body: bool
) -> Iterator[str]:
    """Everything about an attempt up to its first frame."""
    tap = f"  tap {escape(connection.tap)}" if connection.tap else ""
    yield palette.bold(
        f"Connection {connection.id}  {escape(connection.url)}{tap}  {escape(connection.state)}"
    )
    if handshake is None:
        yield from _peers(connection, None)
        return
    yield from _peers(connection, handshake)
    request, response = head_of(handshake.request_in), head_of(handshake.response_in)
    yield from _agreed(connection, handshake, negotiate(request, response), palette)
    yield from _steps(connection, handshake)
    yield ""
    yield from _head("Request", request, head_of(handshake.request_out), palette)
    if handshake.informational:
        yield from _verbatim("Before the response", handshake.informational, palette)
    yield from _head("Response", response, head_of(handshake.response_out), palette)
    if handshake.body:
        yield from _body(handshake.body, palette, whole_body)


def _peers(connection: Connection, handshake: Handshake | None) -> Iterator[str]:
    listener = escape(connection.listener or "-")
    version = escape(connection.http_version or "-")
    client_tls = _tls(handshake.client_tls) if handshake else ""
    yield f"  client    {escape(connection.client or '-')} to {listener}, {version}{client_tls}"
    address = escape((handshake.server_address if handshake else None) or "-")
    peer = f" ({escape(connection.server)})" if connection.server and connection.server != address else ""
    if handshake is None or (not connection.server and not handshake.server_address):
        yield f"  server    not reached{peer}"
        return
    reused = ", connection used before" if handshake.server_reused else ""
    version = escape(connection.server_http_version or "-")
    yield (
        f"  server    {address}{peer} from {escape(handshake.server_sockname or '-')}{reused}, {version}"
        + _tls(handshake.server_tls)
    )
    yield from _certificate(handshake.server_tls)


def _tls(facts: dict[str, Any] | None) -> str:
    if not facts:
        return ""
    return escape(f", {tls_words(facts)}")


def _certificate(facts: dict[str, Any] | None) -> Iterator[str]:
    certificate = (facts or {}).get("certificate")
    if not isinstance(certificate, dict):
        return
    shown = listed(certificate.get("sans"))
    verified = "verified" if (facts or {}).get("verified") is True else "not verified"
    yield escape(
        f"            certificate of {certificate.get('subject')} by {certificate.get('issuer')}, {verified}"
    )
    validity = f"{certificate.get('not_before')} to {certificate.get('not_after')}"
    yield escape(f"            for {shown}; valid {validity}; SHA-256 {certificate.get('sha256')}")


def _agreed(
    connection: Connection, handshake: Handshake, agreed: Negotiation, palette: Palette
) -> Iterator[str]:
    took = ""
    if handshake.request_in_ns and handshake.response_out_ns:
        took = f" in {format_duration(handshake.response_out_ns - handshake.request_in_ns)}"
    status = "no response" if connection.status is None else f"{connection.status}{took}"
    offered = ", ".join(agreed.subprotocols_offered) or "none"
    subprotocol = f"subprotocol {agreed.subprotocol or 'none'} (offered: {offered})"
    extensions = ", ".join(map(str, agreed.extensions)) or "none"
    offers = ", ".join(map(str, agreed.extensions_offered)) or "none"
    yield escape(f"  agreed    {status}; {subprotocol}; extensions {extensions} (offered: {offers})")
    if handshake.problems:
        yield palette.bold(escape(f"  broken    {', '.join(map(str, handshake.problems))}"))
    if connection.error:
        yield palette.bold(escape(f"  error     {connection.error}"))


def _steps(connection: Connection, handshake: Handshake) -> Iterator[str]:
    known = steps_of(handshake)
    if not known:
        return
    zero = connection.attempt_ns if connection.attempt_ns is not None else known[0][0]
    steps = [f"{words} {(time_ns - zero) / 1e6:+.3f} ms" for time_ns, words in known]
    for index in range(0, len(steps), _STEPS_A_LINE):
        yield f"  {'' if index else 'steps':<10}{', '.join(steps[index : index + _STEPS_A_LINE])}"


def _head(title: str, before: RawHead | None, after: RawHead | None, palette: Palette) -> Iterator[str]:
    if before is None and after is None:
        return
    if before is None:
        assert after is not None
        yield from _verbatim(f"{title} (made by the proxy)", after.raw, palette)
        return
    if after is None:
        yield from _verbatim(f"{title} (not sent on)", before.raw, palette)
        return
    changes = diff_heads(before, after)
    changed = sum(change.kind is not ChangeKind.SAME for change in changes)
    note = "unchanged" if before.head == after.head else f"lines changed by the proxy: {changed}"
    yield palette.bold(f"{title} ({note})")
    for change in changes:
        yield from _change(change, palette)


def _change(change: Change, palette: Palette) -> Iterator[str]:
    if change.kind is ChangeKind.CHANGED:
        yield palette.bold(f"  -  {escape_bytes(change.before or b'')}")
        yield palette.bold(f"  +  {escape_bytes(change.after or b'')}")
        return
    line = f"  {_MARKS[change.kind]}{escape_bytes(change.before if change.after is None else change.after)}"  # type: ignore[arg-type]
    yield line if change.kind is ChangeKind.SAME else palette.bold(line)


def _verbatim(title: str, raw: bytes, palette: Palette) -> Iterator[str]:
    yield palette.bold(title)
    for line in escape_lines(raw.rstrip(b"\r\n").decode("utf-8", "backslashreplace")):
        yield f"     {line}"


def _body(body: bytes, palette: Palette, whole: bool) -> Iterator[str]:
    lines = escape_lines(body.decode("utf-8", "backslashreplace"))
    shown = lines if whole else [truncate(line, _BODY_COLUMNS) for line in lines[:_BODY_LINES]]
    yield palette.bold(f"Body ({len(body)} bytes kept)")
    yield from (f"     {line}" for line in shown)
    if len(shown) < len(lines):
        yield f"     … {len(lines) - len(shown)} more lines; --payload shows them"
