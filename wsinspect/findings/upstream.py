"""Failures behind a hop that its answer names: Envoy's reset reasons and Cloudflare's statuses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from wsinspect.findings.answering import answer
from wsinspect.findings.evidence import answer_marks, named
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.fixes import fixes_for
from wsinspect.findings.model import FaultOf, Fix, Found

#: Causes of a failure behind a hop, and how to tell each from the others.
CAUSES: Final = {
    "refused": (
        "nothing listens at the application's address, or it refuses connections",
        "connect to it directly from the proxy's machine",
    ),
    "answer": (
        "the application closes the connection without an answer, or its answer is not valid HTTP (an"
        " invalid 101 is one)",
        "connect to the application directly and look at the raw answer",
    ),
    "scheme": (
        "the proxy speaks plain HTTP to a TLS port, or TLS or HTTP/2 to a plain one",
        "compare the scheme of the proxy's target with what listens there; force http/1.1",
    ),
    "tls": (
        "the proxy does not trust the application's certificate",
        "its error log names the certificate; openssl s_client shows it",
    ),
    "dns": (
        "the name of the application's host does not resolve for the proxy",
        "resolve it on that machine",
    ),
    "none": (
        "the proxy's health check says that no server is up",
        "its status page or log; connect to the application directly",
    ),
    "size": (
        "the answer's headers are too large for the proxy's buffer",
        "its error log: upstream sent too big header",
    ),
    "dropped": (
        "packets to the application's address are dropped: a firewall, a wrong address, a machine down",
        "a connection to it from the proxy's machine times out as well",
    ),
    "closed": (
        "the application crashed, or closed the connection, before it answered the handshake",
        "its log for this moment; the same request sent to it directly",
    ),
    "stale": (
        "a kept connection was used just when the application closed it as idle",
        "only some attempts fail so, and a second one at once is accepted",
    ),
    "http2": (
        "Envoy speaks HTTP/2 to the application, which takes no WebSockets over it (RFC 8441)",
        "does the cluster have http2_protocol_options? an ordinary GET of the same path passes",
    ),
    "reset": (
        "the application, or a proxy before it, aborted this request",
        "its log for this moment; the same request sent to it directly",
    ),
    "stopping": (
        "the application is stopping, or has as many streams open as it allows",
        "its log for this moment; a second attempt at once",
    ),
    "own": (
        "a timeout or a filter of Envoy itself ended the request",
        "the response flags and details in its access log",
    ),
    "breaker": (
        "a circuit breaker: the cluster's max_connections, max_requests or max_pending_requests is reached,"
        " and each WebSocket holds a connection for as long as it is open",
        "the cluster's upstream_cx_overflow and upstream_rq_pending_overflow count up",
    ),
    "max-conns": (
        "the upstream's limit is reached: max_conns on a `server` line, of which each WebSocket holds one as"
        " long as it is open, or max_fails took the last server out for fail_timeout",
        "nginx's error log says 'no live upstreams'; is it accepted when another socket has closed?",
    ),
    "limit-conn": (
        "nginx's limit_conn or limit_req refuses it: both answer 503 by default",
        "its error log says 'limiting connections' or 'limiting requests'",
    ),
    "overload": (
        "Envoy is short of memory or of another resource that its overload manager watches",
        "its statistics: overload.*",
    ),
    "firewall": (
        "a firewall on the way to the server does not let Cloudflare's addresses through",
        "the addresses at cloudflare.com/ips against its rules; from elsewhere the server answers",
    ),
    "address": (
        "the DNS record at Cloudflare has an address that the server no longer has",
        "compare the record with the server's own address",
    ),
    "no-tls": (
        "the server speaks no TLS on its port 443, has no certificate for this name, or no cipher in common",
        "openssl s_client -connect ADDRESS:443 -servername NAME",
    ),
    "connector": (
        "cloudflared is not running, or cannot reach Cloudflare",
        "cloudflared tunnel info NAME lists its connectors; its log",
    ),
    "other-tunnel": (
        "the DNS record names another tunnel than the one that runs",
        "compare its CNAME, ID.cfargotunnel.com, with cloudflared tunnel list",
    ),
}  # fmt: skip


class Failure(NamedTuple):
    """One failure that an answer names.

    Attributes:
        title: follows the status.
        causes: names in `CAUSES`, most likely first.
        fix: a topic of fixes.toml, or the line itself, which has a space.
        is_limit: it says that there was too much.
    """

    title: str
    causes: tuple[str, ...]
    fault_of: FaultOf
    fix: str
    is_limit: bool = False


_NOTHING_LISTENS: Final = Failure(
    "Envoy cannot connect to the application", ("refused",), "hop", "bad-gateway"
)
_TO_TLS: Final = Failure("Envoy's TLS to the application failed", ("scheme", "tls"), "hop", "backend-tls")
_TO_UNTRUSTED: Final = Failure(
    "Envoy does not trust the application's certificate", ("tls",), "hop", "backend-tls"
)
#: Envoy's words (envoyproxy/envoy, source/common/http/utility.cc: resetReasonToString), and what they mean.
_RESETS: Final = (
    (b"certificate_verify_failed", _TO_UNTRUSTED),
    (b"tls_error", _TO_TLS),
    (
        b"connection timeout",
        Failure("Envoy could not connect to the application in time", ("dropped",), "hop", "bad-gateway"),
    ),
    (b"connection failure", _NOTHING_LISTENS),
    (
        b"connection termination",
        Failure(
            "the application closed Envoy's connection before it answered",
            ("closed", "scheme", "stale"),
            "server",
            "Look in the application's log for this moment, and send it the same request directly. Where it"
            " speaks TLS, or HTTP/2 alone, the cluster has to as well.",
        ),
    ),
    (
        b"remote refused stream",
        Failure("the application refused Envoy's stream", ("stopping", "http2"), "server", "overload"),
    ),
    (b"remote reset", Failure("Envoy's stream was reset", ("http2", "reset"), "hop", "h2-prior")),
    (
        b"local ",
        Failure(
            "Envoy itself gave the request up",
            ("own",),
            "hop",
            "Look up this request in Envoy's access log: its response flags and %RESPONSE_CODE_DETAILS% name"
            " the timeout or filter.",
        ),
    ),
    (
        b"overflow",
        Failure(
            "Envoy's limit on connections to the application is reached",
            ("breaker",),
            "hop",
            "connection-limit",
            is_limit=True,
        ),
    ),
    (
        b"protocol error",
        Failure(
            "Envoy cannot read what the application answers",
            ("answer", "scheme"),
            "hop",
            "Send the application the same request directly, and look at the raw answer. Where it speaks TLS,"
            " or HTTP/2 alone, the cluster has to as well.",
        ),
    ),
    (
        b"overload manager",
        Failure("Envoy is overloaded", ("overload",), "hop", "overload", is_limit=True),
    ),
)  # fmt: skip
_ENVOYS: Final = b"upstream connect error or disconnect/reset before headers"
_REASON: Final = re.compile(rb"reset reason: (.{1,300})", re.S)

#: Cloudflare's statuses for what it met at the origin (its documentation, "Cloudflare 5xx errors").
_CLOUDFLARES: Final[Mapping[int, Failure]] = {
    520: Failure(
        "Cloudflare cannot use what the server answers",
        ("answer", "size"),
        "hop",
        "Send the server the same request directly, and look at the raw answer: empty, cut, not HTTP, or with"
        " headers above 128 KB.",
    ),
    521: Failure(
        "the server refuses Cloudflare's connection",
        ("refused", "firewall", "scheme"),
        "hop",
        "Start the server on the port that the SSL/TLS mode needs (Flexible: 80, Full: 443), and let the"
        " addresses at cloudflare.com/ips through its firewall.",
    ),
    522: Failure(
        "Cloudflare could not connect to the server in time",
        ("firewall", "address", "dropped"),
        "hop",
        "Compare the DNS record at Cloudflare with the server's address, and let the addresses at"
        " cloudflare.com/ips through its firewall.",
    ),
    523: Failure(
        "Cloudflare has no way to the server",
        ("address", "dropped"),
        "hop",
        "Correct the address in the DNS record at Cloudflare.",
    ),
    525: Failure(
        "Cloudflare's TLS handshake with the server failed",
        ("no-tls",),
        "hop",
        "Install a certificate for this name on the server's port 443, or choose another SSL/TLS mode than"
        " Full.",
    ),
    526: Failure(
        "Cloudflare does not accept the server's certificate",
        ("tls",),
        "hop",
        "SSL/TLS mode Full (strict) needs a certificate that is valid for this name: an Origin CA certificate"
        " of Cloudflare, or one of a public CA.",
    ),
}  # fmt: skip
#: The number in the body of a 530 (its documentation, "Cloudflare 1xxx errors").
_OF_530: Final[Mapping[bytes, Failure]] = {
    b"1016": Failure(
        "Cloudflare cannot resolve the name of the server (error 1016)",
        ("dns",),
        "hop",
        "Correct the target of the DNS record at Cloudflare: the name that it points to does not exist.",
    ),
    b"1033": Failure(
        "no cloudflared is connected for this tunnel (error 1033)",
        ("connector", "other-tunnel"),
        "hop",
        "Start cloudflared (cloudflared tunnel run NAME) and keep it running as a service; its log says why"
        " it does not connect.",
    ),
}  # fmt: skip
_ERROR_CODE: Final = re.compile(rb"\berror(?: code)?:? ?(1\d{3})\b")


def failure_of(facts: ConnectionFacts) -> Failure | None:
    """What Envoy or Cloudflare says about the way behind it; None where neither says anything."""
    if facts.status in (502, 503, 504) and _ENVOYS in facts.wording:
        said = _REASON.search(facts.wording)
        return next((one for words, one in _RESETS if said and words in said[1]), None)
    if facts.status == 530:
        code = _ERROR_CODE.search(facts.wording)
        return _OF_530.get(code[1]) if code else None
    return _CLOUDFLARES.get(facts.status or 0)


def behind_hop(facts: ConnectionFacts, failure: Failure) -> Found:
    """The finding about a failure that an answer names."""
    marks = answer_marks(facts)
    is_envoys = (facts.status or 0) < 520
    found = answer(
        facts,
        fault_of=failure.fault_of,
        topic=failure.fix if " " not in failure.fix else None,
        title=f"{facts.status}: {failure.title}",
        meaning="The hop that answered says what it met on its way to the application. The handshake itself"
        " need not be at fault."
        if is_envoys
        else "Only Cloudflare is known to give this status, for what it met on its way to the server. The"
        " application did not see the handshake, or its answer was thrown away.",
        causes=tuple(CAUSES[name] for name in failure.causes),
    )
    if " " in failure.fix:
        found = replace(found, fixes=(Fix("general", failure.fix),))
    elif is_envoys:
        found = replace(found, fixes=fixes_for(failure.fix, ("envoy",)))
    # Nothing but Envoy writes its sentence; another server may well choose a number from 520 on.
    is_sure = is_envoys or "cloudflare" in named(marks)
    return replace(found, confidence="high" if is_sure and failure.fault_of == "hop" else "medium")
