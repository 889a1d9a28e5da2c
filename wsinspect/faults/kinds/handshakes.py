"""Faults on opening handshakes, and before the request is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wsinspect.faults.errors import FaultError
from wsinspect.faults.kinds.base import ONLY, ONLY_HELP, FaultKind, Scope, setting
from wsinspect.faults.texts import HEADERS, NAMES
from wsinspect.faults.values import LINE, MILLISECONDS, SECONDS, Choice, Number, Text

_OF: Final = Choice(("request", "response"))
#: TLS alerts (RFC 8446 section 6.2) by name; `close` is a FIN without one.
ALERTS: Final = {
    "handshake_failure": 40,
    "certificate_expired": 45,
    "internal_error": 80,
    "unrecognized_name": 112,
}


@dataclass(frozen=True, kw_only=True)
class _Handshake(FaultKind):
    scope = Scope.HANDSHAKE


@dataclass(frozen=True, kw_only=True)
class Refuse(_Handshake):
    """Another status than 101."""

    name = "refuse"
    summary = "Answer requests with an HTTP status, without asking the server."
    examples = (
        "{kind: refuse, status: 503, headers: {Retry-After: 5}}",
        "{kind: refuse, status: 401, body: 'token expired', when: {attempt: 2}}",
    )
    status: int = setting(Number(200, 599), "the HTTP status", default=503)
    headers: tuple[tuple[str, str], ...] = setting(HEADERS, "more headers", default=())
    body: str = setting(Text(), "the body", default="")
    only: str = setting(ONLY, ONLY_HELP, default="all")


@dataclass(frozen=True, kw_only=True)
class Hang(_Handshake):
    name = "hang"
    summary = "Leave requests unanswered for a time or forever; after that they go to the server."
    examples = ("{kind: hang, for: 30s}",)
    for_: int | None = setting(SECONDS, "how long; forever by default", default=None)
    only: str = setting(ONLY, ONLY_HELP, default="all")


@dataclass(frozen=True, kw_only=True)
class Delay(_Handshake):
    name = "delay"
    summary = "Delay the request on its way to the server, or the response on its way back."
    examples = ("{kind: delay, delay: 2s, jitter: 500ms, of: response}",)
    delay: int = setting(MILLISECONDS, "how long")
    jitter: int = setting(MILLISECONDS, "how much more or less", default=0)
    of: str = setting(_OF, "which of the two", default="request")


@dataclass(frozen=True, kw_only=True)
class BreakHandshake(_Handshake):
    name = "break_handshake"
    summary = "Hold handshakes until somebody passes, edits, drops or answers each (docs/intercept.md)."
    examples = ("{kind: break_handshake, match: 'path:/chat', of: response}",)
    of: str = setting(_OF, "which of the two", default="request")
    timeout: int | None = setting(SECONDS, "pass it by itself after this long", default=None)


@dataclass(frozen=True, kw_only=True)
class Redirect(_Handshake):
    """A redirection, which browsers do not follow for WebSockets."""

    name = "redirect"
    summary = "Answer the handshake with a redirect."
    examples = ("{kind: redirect, location: 'https://example.org/login'}",)
    location: str = setting(LINE, "the Location header")
    status: int = setting(Number(300, 399), "the HTTP status", default=302)


@dataclass(frozen=True, kw_only=True)
class StripHeaders(_Handshake):
    """What misconfigured hops do."""

    name = "strip_headers"
    summary = "Remove headers."
    examples = ("{kind: strip_headers, names: [Upgrade, Sec-WebSocket-Extensions]}",)
    names: tuple[str, ...] = setting(NAMES, "of the fields")
    of: str = setting(_OF, "request or response", default="request")


@dataclass(frozen=True, kw_only=True)
class SetHeaders(_Handshake):
    name = "set_headers"
    summary = "Set headers to other values."
    examples = ("{kind: set_headers, headers: {Connection: close}}",)
    headers: tuple[tuple[str, str], ...] = setting(HEADERS, "the fields")
    of: str = setting(_OF, "request or response", default="request")


@dataclass(frozen=True, kw_only=True)
class BadAccept(_Handshake):
    name = "bad_accept"
    summary = "Answer with a Sec-WebSocket-Accept that does not fit the key."
    examples = ("{kind: bad_accept, probability: 0.5}",)
    value: str = setting(LINE, "what to put there", default="AAAAAAAAAAAAAAAAAAAAAAAAAAA=")


@dataclass(frozen=True, kw_only=True)
class DropSubprotocol(_Handshake):
    name = "drop_subprotocol"
    summary = "Take the subprotocol out of the response, or the offer out of the request."
    examples = ("{kind: drop_subprotocol}",)
    of: str = setting(_OF, "request or response", default="response")


@dataclass(frozen=True, kw_only=True)
class DowngradeHttp10(_Handshake):
    """HTTP/1.0, as nginx forwards by default before 1.29.7."""

    name = "downgrade_http10"
    summary = "Send the request, or the response, as HTTP/1.0."
    examples = ("{kind: downgrade_http10}",)
    of: str = setting(_OF, "request or response", default="request")


@dataclass(frozen=True, kw_only=True)
class _Accept(FaultKind):
    scope = Scope.ACCEPT


@dataclass(frozen=True, kw_only=True)
class RefuseTcp(_Accept):
    name = "refuse_tcp"
    summary = "Close the listener: connections are refused, open ones continue."
    examples = ("{kind: refuse_tcp, tap: edge}",)


@dataclass(frozen=True, kw_only=True)
class ResetOnAccept(_Accept):
    """A RST instead of a request."""

    name = "reset_on_accept"
    summary = "Reset new TCP connections before they can send anything."
    examples = ("{kind: reset_on_accept, when: {nth: [1, 2]}}",)


@dataclass(frozen=True, kw_only=True)
class TlsError(_Accept):
    name = "tls_error"
    summary = "Let the TLS handshake with the client fail."
    examples = ("{kind: tls_error, sni: '*.example.org', alert: certificate_expired}",)
    sni: str | None = setting(LINE, "the name that the client asks for, `*` for any part of it", default=None)
    alert: str = setting(
        Choice((*ALERTS, "close")), "the alert that is sent; `close` sends none", default="handshake_failure"
    )

    def check(self) -> None:
        if self.sni == "":
            raise FaultError("sni", "expected a host name such as *.example.org")


KINDS: Final[tuple[type[FaultKind], ...]] = (
    Refuse,
    Hang,
    Delay,
    BreakHandshake,
    Redirect,
    StripHeaders,
    SetHeaders,
    BadAccept,
    DropSubprotocol,
    DowngradeHttp10,
    RefuseTcp,
    ResetOnAccept,
    TlsError,
)
