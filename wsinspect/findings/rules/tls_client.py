"""TLS on the client's leg: handshakes that ended before there was a request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from wsinspect.findings.browser_services import is_of_browser
from wsinspect.findings.evidence import JS_FAILED, two_causes
from wsinspect.findings.facts import CaptureFacts
from wsinspect.findings.model import Fix, Found
from wsinspect.findings.registry import Rules
from wsinspect.net import host_of

rules = Rules()

_CLIENT_TRUST: Final = re.compile(
    r"does not trust|unknown ca|certificate unknown|bad certificate|unknown_ca|certificate_unknown", re.I
)
#: mitmproxy's message when no alert came: the client may have refused, or just left.
_WENT_AWAY: Final = re.compile(r"disconnected during the handshake", re.I)
_CLIENT_MISMATCH: Final = re.compile(
    r"no shared cipher|unsupported protocol|protocol version|handshake failure|wrong version|no suitable"
    r"|no ciphers",
    re.I,
)


@rules(
    "WS-TLS-001",
    "error",
    "tool",
    "The client does not trust wsinspect's certificate authority",
    meaning="The client ended the TLS handshake after it saw the certificate that this proxy made. Without"
    " the proxy, a bad certificate of the server's would look the same: check that one too.",
    js=JS_FAILED + " Chrome's console: net::ERR_CERT_AUTHORITY_INVALID",
    topic="tls-trust-us",
    rows="H30",
    scope="capture",
)
def untrusted_us(facts: CaptureFacts) -> Iterator[Found]:
    for group in _grouped(facts):
        error = str(group[0].get("error") or "")
        if not _CLIENT_TRUST.search(error):
            continue
        found = _client_found(group)
        if not _WENT_AWAY.search(error):
            yield found
        elif not _has_trusted(facts, group[0]):
            causes = two_causes(
                ("the client does not trust the certificate and does not say so", "it happens every time"),
                ("the client went away in the middle of the handshake", "the next attempt succeeds"),
            )
            yield replace(found, confidence="medium", causes=causes)


def _has_trusted(facts: CaptureFacts, detail: dict[str, Any]) -> bool:
    """Whether the same client has come through TLS to the same host: then it only went away this once."""
    host = host_of(str(detail.get("client")))
    named = f"{detail.get('sni') or ''} {detail.get('error')}"
    return any(
        one.scheme == "wss" and one.client_host == host and one.host and one.host in named
        for one in facts.connections
    )


@rules(
    "WS-TLS-002",
    "error",
    "client",
    "The client's TLS has no version or cipher in common with the proxy",
    meaning="The ClientHello offers no version or cipher that is accepted here. Old clients offer only TLS"
    " 1.0 or 1.1.",
    js=JS_FAILED,
    topic="tls-version",
    rows="H30",
    scope="capture",
)
def client_mismatch(facts: CaptureFacts) -> Iterator[Found]:
    yield from _client_failures(facts, _CLIENT_MISMATCH)


@rules(
    "WS-TLS-003",
    "warning",
    "client",
    "A client's TLS handshake was not completed",
    meaning="The client went away, or sent something that is not TLS. Browsers open connections in advance"
    " and drop them, so this alone need not be an error.",
    js=JS_FAILED,
    topic="tls-trust-us",
    confidence="low",
    rows="H30",
    scope="capture",
)
def client_other(facts: CaptureFacts) -> Iterator[Found]:
    for group in _grouped(facts):
        error = str(group[0].get("error") or "")
        if not _CLIENT_TRUST.search(error) and not _CLIENT_MISMATCH.search(error) and not _is_quiet(error):
            yield _client_found(group)
    for group in _grouped(facts, is_cut=True):
        yield replace(
            _client_found(group),
            severity="note",
            fault_of="tool",
            title="wsinspect stopped in the middle of a client's TLS handshake",
            meaning="The client had not refused anything by then, and had not sent its request."
            " Whether the handshake would have succeeded cannot be said.",
            fixes=(Fix("general", "Record again, and stop once the client is connected."),),
        )


def _is_quiet(error: str) -> bool:
    """A client that only went away."""
    return "disconnected" in error.lower() or "eof" in error.lower() or not error


def _grouped(facts: CaptureFacts, *, is_cut: bool = False) -> list[list[dict[str, Any]]]:
    """Client-side failures that are the same, apart from the client's port.

    Args:
        is_cut: those that our own stop cut off, instead of those that the client ended.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for event in facts.events:
        if event.kind == "tls_failed" and not event.detail.get("rule"):  # otherwise a fault made it fail
            detail = dict(event.detail)
            if is_of_browser(None, detail.get("sni")):
                continue  # Firefox pins the keys of its own servers
            # A capture of an older version says nothing of how the client ended.
            is_ours = bool(_WENT_AWAY.search(str(detail.get("error")))) and detail.get("how", "fin") is None
            if is_ours is not is_cut:
                continue
            groups.setdefault((str(detail.get("sni")), str(detail.get("error"))), []).append(detail)
    return list(groups.values())


def _client_failures(facts: CaptureFacts, pattern: re.Pattern[str]) -> Iterator[Found]:
    for group in _grouped(facts):
        if pattern.search(str(group[0].get("error") or "")):
            yield _client_found(group)


def _client_found(group: list[dict[str, Any]]) -> Found:
    first = group[0]
    lines = [f"{first.get('client')} for {first.get('sni') or 'no name'}: {first.get('error')}"]
    lines += [f"{len(group)} times"] if len(group) > 1 else []
    return Found(evidence=tuple(lines))
