"""TLS on either leg, by kind; also the wrong scheme for a port."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from wsinspect.findings.evidence import JS_FAILED, body_line, status_line, two_causes
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules

rules = Rules()

#: The alert unrecognized_name (RFC 6066 section 3): nginx's ssl_reject_handshake, HAProxy's strict-sni.
_UNKNOWN_NAME: Final = re.compile(r"unrecognized[ _]name", re.I)
_CLOSED: Final = re.compile(r"connection closed|unexpected eof|reset by peer", re.I)
_PLAIN_ON_TLS: Final = re.compile(
    rb"plain http request was sent to https port|client sent an http request to an https server"
    rb"|speaking plain http to an ssl-enabled server port|requires tls|http request was sent to an https",
    re.I,
)
_WANTS_CERTIFICATE: Final = re.compile(
    rb"no required ssl certificate|ssl certificate error|client certificate (is )?(required|missing)", re.I
)


def _js(name: str) -> str:
    """What a browser that connects to this server directly says."""
    return f"{JS_FAILED} A browser that connects directly: net::ERR_{name}."


#: By OpenSSL's messages and Chrome's error names.
_OPENSSL: Final = {
    "expired": re.compile(r"certificate has expired|certificate expired|CERT_DATE_INVALID", re.I),
    "early": re.compile(r"not yet valid", re.I),
    "self": re.compile(r"self[- ]signed(?! certificate in)", re.I),
    "name": re.compile(
        r"hostname mismatch|ip address mismatch|doesn't match|not valid for|CERT_COMMON_NAME_INVALID", re.I
    ),
    "chain": re.compile(
        r"self[- ]signed certificate in|unable to get (local )?issuer|unable to verify the first|unknown"
        r" ca|invalid ca|unable to verify|certificate verify failed|CERT_AUTHORITY_INVALID",
        re.I,
    ),
    "client": re.compile(
        r"certificate required|handshake failure.*certificate|bad certificate|BAD_SSL_CLIENT_AUTH", re.I
    ),
    "version": re.compile(
        r"unsupported protocol|protocol version|no shared cipher|no protocols available|handshake failure"
        r"|no ciphers|wrong ssl version|internal error|SSL_VERSION_OR_CIPHER",
        re.I,
    ),
    "plain": re.compile(
        r"wrong version number|http request|packet length too long|record layer failure"
        r"|record overflow|does not speak TLS|not speak tls|not a tls|SSL_PROTOCOL_ERROR",
        re.I,
    ),
}


def _server_error(facts: ConnectionFacts) -> str | None:
    """Why TLS with the server failed."""
    if facts.failed_where == "tls-server" or (facts.error or "").startswith("TLS with the server"):
        verify = (facts.server_tls or {}).get("verify_error")
        return " / ".join(filter(None, [str(verify or ""), facts.error or ""]))
    return None


def _is(facts: ConnectionFacts, kind: str) -> bool:
    error = _server_error(facts)
    return error is not None and _kind(error, facts) == kind


def _kind(error: str, facts: ConnectionFacts) -> str:
    certificate = _certificate(facts)
    if "verify" in error.lower() or certificate:
        dated = _dated(facts)
        if dated:
            return dated
    return next((kind for kind, pattern in _OPENSSL.items() if pattern.search(error)), "other")


def _dated(facts: ConnectionFacts) -> str | None:
    """Expired or not yet valid, by the certificate's own dates."""
    certificate = _certificate(facts)
    at = datetime.fromtimestamp(facts.attempt_ns / 1e9).astimezone()
    try:
        if datetime.fromisoformat(str(certificate.get("not_after"))).astimezone() < at:
            return "expired"
        if datetime.fromisoformat(str(certificate.get("not_before"))).astimezone() > at:
            return "early"
    except (ValueError, OverflowError):
        return None
    return None


def _certificate(facts: ConnectionFacts) -> dict[str, Any]:
    found = (facts.server_tls or {}).get("certificate")
    return found if isinstance(found, dict) else {}


def _found(facts: ConnectionFacts) -> Found:
    """A finding about the server's TLS."""
    return Found(
        evidence=(f"server {facts.server_address or facts.server}: {_server_error(facts)}", *_shown(facts))
    )


def _shown(facts: ConnectionFacts) -> tuple[str, ...]:
    """The server's certificate, and the name that was asked for."""
    certificate, lines = _certificate(facts), []
    if certificate:
        names = ", ".join(map(str, certificate.get("sans") or ())) or "no name"
        lines += [
            f"certificate of {certificate.get('subject')}, issued by {certificate.get('issuer')}",
            f"for {names}, valid {certificate.get('not_before')} to {certificate.get('not_after')}",
        ]
    sni = (facts.server_tls or {}).get("sni")
    return (*lines, f"requested name (SNI): {sni}") if sni else tuple(lines)


@rules(
    "WS-TLS-020",
    "warning",
    "server",
    "A browser would refuse the server's certificate",
    meaning="It was accepted here because of --insecure. A browser that connects to this server directly"
    " ends the TLS handshake.",
    js=_js("CERT_DATE_INVALID"),
    topic="certificate",
    rows="H30",
)
def borne(facts: ConnectionFacts) -> Iterator[Found]:
    error = (facts.server_tls or {}).get("verify_error")
    if error and facts.response_in is not None:
        yield Found(evidence=(f"server {facts.server_address or facts.server}: {error}", *_shown(facts)))


@rules(
    "WS-TLS-010",
    "error",
    "server",
    "The server's certificate has expired",
    meaning="The certificate is no longer valid, so browsers end the TLS handshake. No WebSocket request is"
    " sent.",
    js=_js("CERT_DATE_INVALID"),
    topic="certificate",
    rows="H30",
    group="attempt",
)
def expired(facts: ConnectionFacts) -> Iterator[Found]:
    if _is(facts, "expired"):
        yield _found(facts)


@rules(
    "WS-TLS-011",
    "error",
    "server",
    "The server's certificate is not valid yet",
    meaning="Its validity begins in the future, or a clock is wrong. Browsers end the TLS handshake.",
    js=_js("CERT_DATE_INVALID"),
    topic="certificate",
    rows="H30",
    group="attempt",
)
def not_yet(facts: ConnectionFacts) -> Iterator[Found]:
    if _is(facts, "early"):
        yield _found(facts)


@rules(
    "WS-TLS-012",
    "error",
    "server",
    "The server's certificate is self-signed",
    meaning="No authority that the client trusts has signed it. A browser asks the user for a page, but"
    " never for a WebSocket: the socket just fails.",
    js=_js("CERT_AUTHORITY_INVALID"),
    topic="certificate",
    rows="H30",
    group="attempt",
)
def self_signed(facts: ConnectionFacts) -> Iterator[Found]:
    if _is(facts, "self"):
        yield _found(facts)


@rules(
    "WS-TLS-013",
    "error",
    "server",
    "The server's certificate is for another name",
    meaning="The requested name is not among those in the certificate. Browsers end the TLS handshake.",
    js=_js("CERT_COMMON_NAME_INVALID"),
    topic="certificate",
    rows="H30",
    group="attempt",
)
def other_name(facts: ConnectionFacts) -> Iterator[Found]:
    if _is(facts, "name"):
        yield _found(facts)


@rules(
    "WS-TLS-014",
    "error",
    "server",
    "The server's certificate chain is incomplete or its issuer unknown",
    meaning="The chain does not lead to an authority that is trusted here: an intermediate certificate is"
    " missing, or the authority is private. Some clients have the intermediate cached and work,"
    " others fail.",
    js=_js("CERT_AUTHORITY_INVALID"),
    topic="certificate",
    rows="H30",
    group="attempt",
)
def chain(facts: ConnectionFacts) -> Iterator[Found]:
    if _is(facts, "chain"):
        yield _found(facts)


@rules(
    "WS-TLS-015",
    "error",
    "client",
    "The server wants a client certificate",
    meaning="The server ended TLS because the client sent no certificate. The application saw no request.",
    js=f"{JS_FAILED} A browser that connects directly: WebSocket opening handshake was canceled.",
    topic="client-certificate",
    rows="H30",
    group="attempt",
)
def client_certificate(facts: ConnectionFacts) -> Iterator[Found]:
    if _is(facts, "client"):
        yield _found(facts)
    elif (
        facts.state == "refused"
        and facts.server_tls is not None
        and _WANTS_CERTIFICATE.search(facts.content[:4096])
    ):
        yield Found(evidence=(status_line(facts), *body_line(facts)))


@rules(
    "WS-TLS-016",
    "error",
    "server",
    "No TLS version or cipher in common with the server",
    meaning="The TLS handshake with the server ended before any certificate was checked. Versions or ciphers"
    " do not overlap.",
    js=_js("SSL_VERSION_OR_CIPHER_MISMATCH"),
    topic="tls-version",
    rows="H30",
    group="attempt",
)
def version(facts: ConnectionFacts) -> Iterator[Found]:
    if _is(facts, "version"):
        yield _found(facts)


@rules(
    "WS-TLS-017",
    "error",
    "client",
    "TLS was spoken to a plain port (wss or https where ws or http is right)",
    meaning="The server's first bytes are not TLS: something that speaks plain HTTP listens on this port."
    " The scheme or port in the URL, or in the proxy's target, is wrong.",
    js=_js("SSL_PROTOCOL_ERROR"),
    topic="scheme",
    rows="H31",
    group="attempt",
)
def tls_to_plain(facts: ConnectionFacts) -> Iterator[Found]:
    if _is(facts, "plain"):
        yield _found(facts)


@rules(
    "WS-TLS-018",
    "error",
    "client",
    "Plain HTTP was spoken to a TLS port (ws or http where wss or https is right)",
    meaning="The server expects TLS on this port and got a plain request. The scheme or port in the URL, or"
    " in the proxy's target, is wrong.",
    js=JS_FAILED,
    topic="scheme",
    rows="H31",
    group="attempt",
)
def plain_to_tls(facts: ConnectionFacts) -> Iterator[Found]:
    if facts.server_tls is not None:
        return
    if facts.state == "refused" and _PLAIN_ON_TLS.search(facts.content):
        yield Found(evidence=(status_line(facts), *body_line(facts)))
        return
    error = facts.error or ""
    first = facts.raw_response_in or b""
    if facts.state == "failed" and re.match(rb"\x15\x03[\x00-\x04]", first):
        yield Found(evidence=(f"the server answered with a TLS alert: {first[:16].hex(' ')}",))
    elif facts.state == "failed" and re.search(r"\\x15\\x03|alert record", error):
        yield Found(evidence=(f"the server answered with a TLS alert: {error[:120]}",))


@rules(
    "WS-TLS-019",
    "error",
    "server",
    "TLS with the server failed",
    meaning="The TLS handshake with the server failed; the evidence has the error. The client got 502.",
    js=JS_FAILED,
    topic="tls-version",
    confidence="medium",
    rows="H30 H31",
    group="attempt",
)
def other(facts: ConnectionFacts) -> Iterator[Found]:
    if _is(facts, "other"):
        found = _found(facts)
        if _CLOSED.search(_server_error(facts) or ""):
            causes = two_causes(
                (
                    "the port speaks plain HTTP, and what listens there closes on a ClientHello",
                    "try the same port with ws:// or http://: does it answer?",
                ),
                ("a TLS server, or a hop before it, refuses this name or address", "its log for this moment"),
            )
            found = replace(found, causes=causes, topic="scheme")
        elif _UNKNOWN_NAME.search(_server_error(facts) or ""):
            found = replace(found, title="The TLS server does not know the name that was asked for (SNI)")
            found = replace(found, topic="sni", confidence="high")
        yield found


#: Intermediates whose private key is public.
_LEAKED: Final = ("EM OV TLS CA - G3C",)


@rules(
    "WS-TLS-021",
    "warning",
    "server",
    "The server's certificate was issued by an authority whose private key has leaked",
    meaning="The private key of the intermediate 'EM OV TLS CA - G3C' (eMudhra) became public in October"
    " 2026. Anyone can make such a certificate, so it proves nothing, and browsers stop trusting it.",
    js="Nothing yet; net::ERR_CERT_REVOKED in a browser that no longer trusts it.",
    topic="leaked-ca",
    rows="H30",
)
def leaked_authority(facts: ConnectionFacts) -> Iterator[Found]:
    issuer = str(_certificate(facts).get("issuer") or "")
    if any(name in issuer for name in _LEAKED):
        yield Found(evidence=(f"server {facts.server_address or facts.server}", *_shown(facts)))
