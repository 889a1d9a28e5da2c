"""Handshakes that a breakpoint holds: as text, and made again of text that was edited."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from mitmproxy import http

from wsinspect.faults.errors import FaultError
from wsinspect.faults.held import Decision, Held
from wsinspect.handshake.heads import RawHead

_LEAST_STATUS, _MOST_STATUS = 100, 599


@dataclass
class HeldHandshake:
    """A handshake that waits for a decision; without one it passes."""

    held: Held
    decision: Decision = field(default_factory=Decision)
    decided: asyncio.Event = field(default_factory=asyncio.Event)

    def decide(self, decision: Decision) -> None:
        """Take the decision.

        Raises:
            FaultError: the new header block is none.
        """
        if decision.action == "edit":
            if decision.head is None:
                raise FaultError("head", "expected the new header block")
            check_head(decision.head, is_response=self.held.what == "response")
        self.decision = decision
        self.decided.set()


def head_text(flow: http.HTTPFlow, response: http.Response | None) -> str:
    """The header block as it would be sent, a field a line, without the empty line."""
    if response is None:
        first = f"{flow.request.method} {flow.request.path} {flow.request.http_version}"
    else:
        first = f"{response.http_version} {response.status_code} {response.reason}"
    fields = (response or flow.request).headers.fields
    lines = [f"{text_of(name)}: {text_of(value)}" for name, value in fields]
    return "\n".join([first.rstrip(), *lines])


def check_head(text: str, *, is_response: bool) -> RawHead:
    """Read a header block that was edited.

    Raises:
        FaultError: a line has no colon, or the first line is none of such a block.
    """
    head = RawHead.parse("\r\n".join([*text.strip().splitlines(), "", ""]).encode("utf-8", "surrogateescape"))
    if bad := next((one for one in head.fields if not one.name or one.name.strip() != one.name), None):
        raise FaultError("head", f"expected Name: value, found {text_of(bad.raw.strip())[:60]!r}")
    status = head.status
    if is_response and (status is None or not _LEAST_STATUS <= status <= _MOST_STATUS):
        raise FaultError("head", "expected a first line such as HTTP/1.1 101 Switching Protocols")
    if not is_response and (status is not None or not head.target.startswith(b"/")):
        raise FaultError("head", "expected a first line such as GET /path HTTP/1.1")
    return head


def change_head(flow: http.HTTPFlow, response: http.Response | None, text: str) -> None:
    """Put an edited header block into the request, or the response."""
    head = check_head(text, is_response=response is not None)
    fields = http.Headers([(one.name, one.value) for one in head.fields])
    if response is not None:
        response.headers = fields
        assert head.status is not None
        response.status_code = head.status
        response.reason = head.reason.decode("latin-1")
    else:
        flow.request.headers = fields
        flow.request.method = head.method.decode("latin-1")
        flow.request.path = head.target.decode("latin-1")


def text_of(data: bytes) -> str:
    """A header's name or value as text; any byte comes back from it."""
    return data.decode("utf-8", "surrogateescape")


def bytes_of(text: str) -> bytes:
    """The inverse of `text_of`."""
    return text.encode("utf-8", "surrogateescape")
