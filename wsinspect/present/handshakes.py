"""An opening handshake as lines, once: peers, what was agreed, the time of each step, and what each side saw.

`show` prints the header blocks one below the other (`block_lines`), the timeline both sides of each next to
each other (`side_by_side`); what they say of a block is the same (`HeaderBlock`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from wsinspect.capture.records import Connection, Handshake
from wsinspect.handshake.diff import Change, ChangeKind, diff_heads
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import accept_key, is_valid_key, negotiate
from wsinspect.present.cells import Line, broken
from wsinspect.present.glyphs import Glyphs
from wsinspect.present.words import fact
from wsinspect.text import cell_width, counted, escape, escape_bytes, escape_lines, pad, truncate
from wsinspect.units import format_duration

#: The times of an attempt in their usual order, and what happened at each.
STEPS: Final = (
    ("tcp_ns", "client connected"),
    ("tls_ns", "client TLS done"),
    ("request_in_ns", "request received"),
    ("server_tcp_start_ns", "server connect started"),
    ("server_tcp_done_ns", "server connected"),
    ("server_tls_done_ns", "server TLS done"),
    ("request_out_ns", "request sent on"),
    ("response_in_ns", "response received"),
    ("response_out_ns", "response sent on"),
)
#: What the codes of broken rules mean (`Negotiation.problems`).
BROKEN_RULES: Final = {
    "method": "request: the method is not GET",
    "request-upgrade": "request: no Upgrade: websocket",
    "request-connection": "request: no Connection: Upgrade",
    "key": "request: not one Sec-WebSocket-Key of 16 bytes",
    "version": "request: Sec-WebSocket-Version is not 13",
    "upgrade": "response: no Upgrade: websocket",
    "connection": "response: no Connection: Upgrade",
    "accept": "response: Sec-WebSocket-Accept does not match the key",
    "http10": "response: HTTP/1.0",
    "body": "response: a body announced with 101",
    "repeated": "response: a header repeated that may occur once",
    "subprotocol-not-offered": "response: a subprotocol that was not offered",
    "extension-not-offered": "response: an extension that was not offered",
    "extension-repeated": "response: permessage-deflate accepted twice",
    "deflate-params": "response: invalid permessage-deflate parameters",
}
_BODY_LINES: Final = 12
#: A width at which nothing is wrapped: a header block has less, and padding costs as much.
_UNWRAPPED: Final = 1 << 18
_BODY_CELLS: Final = 120
#: Below this a header line that continues has no room for an indent.
_LEAST_INDENTED: Final = 20
_MARKS: Final = {
    ChangeKind.SAME: (" ", "same"),
    ChangeKind.CHANGED: ("~", "changed"),
    ChangeKind.ADDED: ("+", "changed"),
    ChangeKind.REMOVED: ("-", "changed"),
    ChangeKind.MOVED: (">", "changed"),
}


def legend(room: int, *, is_hop: bool = False) -> Line:
    """What the marks of differing lines mean, for a title's right; nothing where that has too little room.

    Args:
        room: cells.
        is_hop: the sides are those of a hop, which makes and loses lines.
    """
    added, removed = ("made", "lost") if is_hop else ("added", "removed")
    words = {
        ChangeKind.CHANGED: "changed",
        ChangeKind.ADDED: added,
        ChangeKind.REMOVED: removed,
        ChangeKind.MOVED: "moved",
    }
    text = "  ".join(f"{_MARKS[kind][0]} {word}" for kind, word in words.items())
    return [(text, "muted")] if len(text) <= room else []


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
    # A TLS handshake that failed has agreed on nothing.
    agreed = " ".join(str(one) for one in (facts.get("version"), facts.get("cipher")) if one)
    said = f"{agreed or 'not completed'}, ALPN {facts.get('alpn') or '-'} (offered {offered})"
    return said + (f", SNI {facts['sni']}" if facts.get("sni") else "")


def listed(names: Any) -> str:
    """Names of a capture that may be a stranger's, by commas."""
    return ", ".join(map(str, names)) if isinstance(names, list) else str(names or "")


def fact_lines(connection: Connection, handshake: Handshake | None) -> Iterator[Line]:
    """Peers, agreement, certificates, steps."""
    listener, version = connection.listener or "-", connection.http_version or "-"
    yield fact("client", escape(f"{connection.client or '-'} at {listener}, {version}"))
    yield fact("server", escape(_server_words(connection, handshake)))
    if handshake is not None:
        yield from _agreement(connection, handshake)
        yield from _tls_lines("client TLS", handshake.client_tls)
        yield from _tls_lines("server TLS", handshake.server_tls)
        yield from step_lines(connection, handshake)
    if connection.error:
        yield fact("error", escape(connection.error), "error")


def _server_words(connection: Connection, handshake: Handshake | None) -> str:
    """Its address, the one it was found at, and how it was reached."""
    address = handshake.server_address if handshake is not None else None
    if not connection.server and not address:
        return "not reached"
    words = address or connection.server or "-"
    if connection.server and connection.server != words:
        words += f" ({connection.server})"
    if handshake is not None and handshake.server_sockname:
        words += f" from {handshake.server_sockname}"
    if handshake is not None and handshake.server_reused:
        words += ", reused connection"
    return f"{words}, {connection.server_http_version or '-'}"


def _agreement(connection: Connection, handshake: Handshake) -> Iterator[Line]:
    request, response = head_of(handshake.request_in), head_of(handshake.response_in)
    agreed = negotiate(request, response)
    took = ""
    if handshake.request_in_ns and handshake.response_out_ns:
        took = f" in {format_duration(handshake.response_out_ns - handshake.request_in_ns)}"
    status = "no response" if connection.status is None else f"{connection.status}{took}"
    yield fact("answer", f"{status}; {accept_words(request, response)}")
    offered = ", ".join(agreed.subprotocols_offered) or "none"
    yield fact("subprotocol", escape(f"{agreed.subprotocol or 'none'} (offered: {offered})"))
    extensions = ", ".join(map(str, agreed.extensions)) or "none"
    offers = ", ".join(map(str, agreed.extensions_offered)) or "none"
    yield fact("extensions", escape(f"{extensions} (offered: {offers})"))
    if handshake.problems:
        for number, code in enumerate(map(str, handshake.problems)):
            yield fact("" if number else "broken", escape(BROKEN_RULES.get(code, code)), "error")


def accept_words(request: RawHead | None, response: RawHead | None) -> str:
    """Whether key and accept belong together."""
    if request is not None and request.is_extended_connect:
        return "extended CONNECT, which has no Sec-WebSocket-Key"
    key = request.get("Sec-WebSocket-Key") if request else None
    accept = response.get("Sec-WebSocket-Accept") if response else None
    if key is None:
        return "no Sec-WebSocket-Key"
    valid = "key of 16 bytes" if is_valid_key(key) else "key is not 16 bytes in Base64"
    if accept is None:
        return f"{valid}, no Sec-WebSocket-Accept"
    return f"{valid}, Sec-WebSocket-Accept {'correct' if accept == accept_key(key) else 'WRONG'}"


def _tls_lines(name: str, facts: dict[str, Any] | None) -> Iterator[Line]:
    if not facts:
        return
    yield fact(name, escape(tls_words(facts)))
    certificate = facts.get("certificate")
    if isinstance(certificate, dict):
        verified = "verified" if facts.get("verified") is True else "NOT verified"
        names = f"{certificate.get('subject')} by {certificate.get('issuer')}"
        yield fact("certificate", escape(f"{names}, {verified}"))
        validity = f"{certificate.get('not_before')} to {certificate.get('not_after')}"
        yield fact("", escape(f"for {listed(certificate.get('sans'))}; valid {validity}"))
        yield fact("", escape(f"SHA-256 {certificate.get('sha256')}"))


def step_lines(connection: Connection, handshake: Handshake) -> Iterator[Line]:
    """When each step was done, and how long after the one before."""
    known = steps_of(handshake)
    zero = connection.attempt_ns if connection.attempt_ns is not None else known[0][0] if known else 0
    before = known[0][0] if known else 0
    times = [f"{(time_ns - zero) / 1e6:+.3f} ms" for time_ns, _ in known]
    time_cells = max(map(len, times), default=0)
    word_cells = max((len(words) for _, words in known), default=0)
    for number, ((time_ns, words), at) in enumerate(zip(known, times, strict=True)):
        since = (f"  +{format_duration(time_ns - before)}" if number else "", "muted")
        yield [*fact("" if number else "steps", f"{at:>{time_cells}}  {words:<{word_cells}}"), since]
        before = time_ns


class HeaderBlock(NamedTuple):
    """A header block before and behind the proxy.

    Attributes:
        name: `Request` or `Response`.
        about: what the proxy did to it, in a few words.
        ends: who sent it to whom, before the proxy and behind it.
        before, after: as received and as sent on; None where it was not.
        changes: its lines, compared; empty where there is one block alone.
        rest: bytes that came behind it.
    """

    name: str
    about: str
    ends: tuple[str, str]
    before: RawHead | None
    after: RawHead | None
    changes: tuple[Change, ...]
    rest: bytes

    @property
    def title(self) -> Line:
        """The line above it."""
        return [(f"{self.name} ({self.about})", "title")]

    def alone(self) -> list[str]:
        """The lines of the only block there is, escaped."""
        head = self.before or self.after
        return _text_lines(head.head) if head is not None else []

    def lines(self) -> Iterator[Line]:
        """Title and block, each line once where the proxy left it alone, and what came behind it."""
        yield self.title
        for text in self.alone() if not self.changes else ():
            yield [(f"     {text}", "")]
        for change in self.changes:
            yield from _unified(change)
        yield from self.rest_lines()

    def rest_lines(self) -> Iterator[Line]:
        """What came behind the block, in one packet or right after it."""
        if self.rest:
            count = counted(len(self.rest), "byte")
            yield [(f"  + {count} after the header block: {self.rest[:16].hex(' ')}", "note")]


def header_blocks(handshake: Handshake) -> Iterator[HeaderBlock]:
    """The request's and the response's."""
    for name, raw_before, raw_after, ends in (
        ("Request", handshake.request_in, handshake.request_out, ("CLIENT to PROXY", "PROXY to SERVER")),
        ("Response", handshake.response_in, handshake.response_out, ("SERVER to PROXY", "PROXY to CLIENT")),
    ):
        before, after = head_of(raw_before), head_of(raw_after)
        changes: tuple[Change, ...] = ()
        if before is None and after is None:
            about = "not seen"
        elif before is None:
            about = "made by the proxy"
        elif after is None:
            about = "not sent on"
        else:
            changes = tuple(diff_heads(before, after))
            changed = sum(change.kind is not ChangeKind.SAME for change in changes)
            is_same = before.head == after.head
            about = "unchanged" if is_same else f"lines changed by the proxy: {changed}"
        yield HeaderBlock(name, about, ends, before, after, changes, before.rest if before else b"")


def block_lines(handshake: Handshake) -> Iterator[Line]:
    """Header blocks one below the other, each line once where the proxy left it alone."""
    for block in header_blocks(handshake):
        yield from block.lines()
        if block.name == "Request":
            yield from informational_lines(handshake)


def _unified(change: Change) -> Iterator[Line]:
    mark, style = _MARKS[change.kind]
    if change.kind is ChangeKind.CHANGED:
        yield [("  -  ", style), (escape_bytes(change.before or b""), style)]
        yield [("  +  ", style), (escape_bytes(change.after or b""), style)]
    else:
        text = escape_bytes((change.before if change.after is None else change.after) or b"")
        yield [(f"  {mark}  ", style), (text, "" if change.kind is ChangeKind.SAME else style)]


def informational_lines(handshake: Handshake) -> Iterator[Line]:
    """Responses with a 1xx status that came first."""
    if handshake.informational:
        yield [("Before the response", "title")]
        for text in _text_lines(handshake.informational):
            yield [(f"     {text}", "")]


def body_lines(handshake: Handshake, *, whole: bool = False, hint: str = "") -> Iterator[Line]:
    """How a refused attempt's body begins, or all that was kept of it.

    Args:
        hint: how to see the lines that are left out.
    """
    if not handshake.body:
        return
    yield [(f"Body ({counted(len(handshake.body), 'byte')} kept)", "title")]
    lines = escape_lines(handshake.body.decode("utf-8", "backslashreplace"))
    shown = lines if whole else [truncate(line, _BODY_CELLS) for line in lines[:_BODY_LINES]]
    for line in shown:
        yield [(f"     {line}", "")]
    if len(shown) < len(lines):
        yield [(f"     … {len(lines) - len(shown)} more lines{hint}", "muted")]


def _text_lines(raw: bytes) -> list[str]:
    return escape_lines(raw.rstrip(b"\r\n").decode("utf-8", "backslashreplace"))


def side_by_side(
    handshake: Handshake, width: int, *, only_differences: bool, glyphs: Glyphs
) -> Iterator[Line]:
    """Header blocks as received at the left and as sent on at the right."""
    half = max((width - 3) // 2, 10)
    for block in header_blocks(handshake):
        if block.name == "Response":
            yield [("", "")]
        yield block.title
        changes = [one for one in block.changes if one.kind is not ChangeKind.SAME or not only_differences]
        alone = [] if block.changes else list(block.alone())
        if changes or alone:  # names of columns stand above something
            yield pair_line(*block.ends, half, "muted", " ", glyphs)
        for text in alone:
            for cells in _header_pieces(text, half - 2):
                sides = ("", cells) if block.before is None else (cells, "")
                yield pair_line(*sides, half, "", " ", glyphs)
        for change in changes:
            yield from change_lines(change, half, glyphs)
        yield from block.rest_lines()
        if block.name == "Request":
            yield from _apart(informational_lines(handshake))
    yield from _apart(body_lines(handshake, whole=True))


def _apart(lines: Iterator[Line]) -> Iterator[Line]:
    """With an empty line before them, where there are any."""
    for number, line in enumerate(lines):
        if not number:
            yield [("", "")]
        yield line


def unwrapped(make: Callable[[int], list[Line]], glyphs: Glyphs) -> list[Line]:
    """Lines that are made for a width, at the least one at which nothing side by side is wrapped or cut.

    Args:
        make: the lines at a width.
    """
    rule = (f" {glyphs.column} ", "rule")
    rows = [line for line in make(_UNWRAPPED) if line[2:3] == [rule]]
    half = max((cell_width(text.rstrip()) for row in rows for text in (row[1][0], row[-1][0])), default=0)
    return make(2 * (half + 2) + 3)


def change_lines(change: Change, half: int, glyphs: Glyphs) -> Iterator[Line]:
    """A header line before and after, side by side in `half` cells each."""
    mark, style = _MARKS[change.kind]
    left = escape_bytes(change.before) if change.before is not None else ""
    right = escape_bytes(change.after) if change.after is not None else ""
    if change.kind is ChangeKind.SAME:
        right = "="
    lefts, rights = _header_pieces(left, half - 2), _header_pieces(right, half - 2)
    for number in range(max(len(lefts), len(rights))):
        begin = lefts[number] if number < len(lefts) else ""
        end = rights[number] if number < len(rights) else ""
        yield pair_line(
            begin, end, half, "" if style == "same" else style, mark if number == 0 else " ", glyphs
        )


def _header_pieces(text: str, cells: int) -> list[str]:
    """A header line in lines of at most so many cells, at spaces where there are some.

    What continues is indented, so that it is not taken for a header of its own. Blanks are the peer's.
    """
    indent = 2 if cells > _LEAST_INDENTED else 0
    first, *more = broken(text, max(cells, 1), max(cells - indent, 1), is_verbatim=True)
    return [first, *(" " * indent + piece for piece in more)]


def pair_line(left: str, right: str, half: int, style: str, mark: str, glyphs: Glyphs) -> Line:
    """Two texts side by side, with a sign for what became of the first, or for what is right alone."""
    is_right = bool(right) and not left.strip()
    return [
        (f"{' ' if is_right else mark} ", "changed"),
        (pad(truncate(left, half - 2), half - 2), style),
        (f" {glyphs.column} ", "rule"),
        (f"{mark if is_right else ' '} ", "changed"),
        (truncate(right, half - 2), "same" if right == "=" else style),
    ]
