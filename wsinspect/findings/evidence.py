"""Lines of evidence that many rules share, and the signs that a proxy leaves in a request."""

from __future__ import annotations

import re
from typing import Final

from wsinspect.findings import lag
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.model import Cause
from wsinspect.findings.quotes import quote
from wsinspect.findings.software import NAMES, PROXIES, Mark, author_of, hop_of
from wsinspect.handshake.heads import RawHead
from wsinspect.units import MS, format_duration
from wsinspect.vocabulary import Lack, State

JS_FAILED: Final = (
    "An error event, then close with code 1006, wasClean false and no reason; the page sees nothing else."
)
JS_NOTHING: Final = "Nothing: no WebSocket object reports anything."
JS_LATER: Final = "Nothing by itself; only what happens on the connection later."
TAP_BEHIND: Final = (
    "put a second tap between this hop and the server: it shows the request that arrives there"
)
#: What evidence calls the ends of a connection.
WORDS_OF_ENDS: Final = {
    "fin": "FIN",
    "rst": "RST",
    "close_notify": "close_notify",
    "timeout": "timeout",
    "close-frame": "CLOSE frame",
    "refused": "refused",
}
_SHOWN: Final = 160
#: Fields that proxies add to a request, and the software each one proves; "" where any software adds it.
_REQUEST_MARKS: Final = (
    ("cf-ray", "cloudflare"),
    ("cf-connecting-ip", "cloudflare"),
    ("x-amzn-trace-id", "aws"),
    ("x-amz-cf-id", "aws"),
    ("x-azure-ref", "azure"),
    ("x-azure-fdid", "azure"),
    ("x-cloud-trace-context", "gcp"),
    ("x-envoy-expected-rq-timeout-ms", "envoy"),
    ("x-envoy-external-address", "envoy"),
    ("x-arr-log-id", "iis"),
    ("x-original-forwarded-for", "k8s-ingress"),
    ("x-traefik-request-id", "traefik"),
    ("fly-client-ip", "fly"),
    ("x-forwarded-server", ""),
    ("x-forwarded-for", ""),
    ("x-forwarded-proto", ""),
    ("x-forwarded-host", ""),
    ("x-real-ip", ""),
    ("forwarded", ""),
)
_VIA: Final = (
    (re.compile(r"caddy", re.I), "caddy"),
    (re.compile(r"cloudfront", re.I), "aws"),
    (re.compile(r"google", re.I), "gcp"),
    (re.compile(r"vegur", re.I), "heroku"),
)


def request_marks(request: RawHead | None) -> tuple[Mark, ...]:
    """What proxies on the client's side left in the request that arrived here."""
    if request is None:
        return ()
    found = []
    via = request.get("via")
    if via:
        text = via.decode("latin-1")
        software = next((name for pattern, name in _VIA if pattern.search(text)), "")
        found.append(Mark(software, f"request Via: {text[:_SHOWN]}"))
    for name, software in _REQUEST_MARKS:
        if request.get(name) is not None:
            found.append(Mark(software, f"request {name}: {_value(request, name)}"))
    return tuple(sorted(found, key=lambda mark: not mark.software))


def named(marks: tuple[Mark, ...]) -> tuple[str, ...]:
    """The software of marks."""
    return tuple(mark.software for mark in marks if mark.software)


def answer_marks(facts: ConnectionFacts) -> tuple[Mark, ...]:
    """The software that the response names."""
    return facts.marks


#: Names of hosts that only one service gives.
_HOSTS: Final = (
    (".amazonaws.com", "aws"),
    (".cloudfront.net", "aws"),
    (".azurefd.net", "azure"),
    (".azurewebsites.net", "azure"),
    (".workers.dev", "cloudflare"),
    (".fly.dev", "fly"),
    (".run.app", "gcp"),
    (".herokuapp.com", "heroku"),
)


def left_marks(facts: ConnectionFacts) -> tuple[str, ...]:
    """The software and services that a connection shows: in its answer, its request, or the host's name."""
    host = (facts.host or "").lower().rstrip(".")
    of_host = [software for ending, software in _HOSTS if host.endswith(ending)]
    marks = (*answer_marks(facts), *request_marks(facts.request_in))
    return tuple(dict.fromkeys((*named(marks), *of_host)))


def is_applications(facts: ConnectionFacts) -> bool:
    """Whether an application's server names itself in an answer, and no hop does."""
    return answer_hop(facts) is None and bool(set(named(answer_marks(facts))) - PROXIES)


def answer_hop(facts: ConnectionFacts) -> str | None:
    """The proxy that the response names, with who made the answer."""
    return hop_of(answer_marks(facts))


def status_line(facts: ConnectionFacts) -> str:
    """The answer and how long it took: `HTTP/1.1 426 Upgrade Required after 3 ms`."""
    head = facts.response_in
    line = head.start_line.decode("latin-1")[:_SHOWN] if head else f"status {facts.status}"
    took = facts.answer_ms
    return line if not took else f"{line} after {format_duration(round(took * MS))}"


def seconds(interval_ns: int) -> str:
    """An interval for evidence."""
    return format_duration(interval_ns)


def body_line(facts: ConnectionFacts) -> tuple[str, ...]:
    """The part of a refusal's body that says why."""
    reason = facts.response_in.reason.decode("latin-1") if facts.response_in else ""
    said = quote(facts.content, reason) or facts.reject_reason or None
    return () if said is None else (f"the answer says: {said}",)


def cache_lines(facts: ConnectionFacts) -> tuple[str, ...]:
    """What a cache says of this answer: a request for a WebSocket must not come to one."""
    head = facts.response_in
    names = ("X-Cache", "CF-Cache-Status", "Age") if head else ()
    return tuple(facts.response_line(name)[:_SHOWN] for name in names if head and head.get(name) is not None)


def marks_lines(marks: tuple[Mark, ...]) -> tuple[str, ...]:
    """The marks as evidence, those of the author first."""
    return tuple(mark.evidence for mark in marks[:4])


def author_line(facts: ConnectionFacts) -> tuple[str, ...]:
    """Who made the answer, where its page shows it."""
    author = author_of(answer_marks(facts))
    return (f"{NAMES[author.software]} itself wrote this answer ({author.evidence})",) if author else ()


#: Chrome asks for credentials after these two, so its console has other words for them.
_CONSOLE: Final[dict[int | str, str]] = {
    401: "HTTP Authentication failed; no valid credentials available",
    407: "Error in connection establishment: net::ERR_UNEXPECTED_PROXY_AUTH",
}


def js_status(status: int | str) -> str:
    """What a page sees of a refused handshake, in the words of Chromium 156."""
    refused = f"Error during WebSocket handshake: Unexpected response code: {status}"
    return f"{JS_FAILED} Chrome's console: {_CONSOLE.get(status, refused)}"


#: What a rule about refusals says of the page; `N` is the status of the answer (`registry.run` puts it in).
JS_STATUS: Final = js_status("N")


def js_sees(facts: ConnectionFacts) -> str:
    """What JavaScript sees at the end of a connection."""
    if facts.js_code is None and facts.is_over and facts.unrecorded:
        return "Not known: the file does not say how the connection ended."
    if facts.js_code is None and facts.state == State.LOST:
        return "Not known: the end of the connection was not recorded."
    if facts.js_code is None:
        return "Nothing yet: the connection is open."
    clean = "true" if facts.js_was_clean else "false"
    reason = facts.server_close_reason if facts.js_code == facts.server_close_code else None
    said = f", reason {reason!r}" if reason else ", empty reason"
    return f"close with code {facts.js_code}, wasClean {clean}{said}"


def end_line(facts: ConnectionFacts) -> str:
    """Who ended it, and how, in one line."""
    if not facts.ends and facts.unrecorded & {Lack.END, Lack.TRANSPORT}:
        if facts.ended_by in (None, "unknown"):
            return "the file does not say who ended it, and how"
        how = WORDS_OF_ENDS.get(facts.how or "", facts.how)
        return f"ended by the {facts.ended_by} ({how}), as the file has it"
    is_known = facts.ended_by not in (None, "unknown")
    if not facts.ends and not is_known:
        if facts.state == State.LOST:
            return "its end was not recorded" + ("" if facts.has_gap else ": the proxy exited")
        if not facts.is_over:
            return "the connection is open"
    ends = ", then ".join(
        f"{end.side} {end.http2 or WORDS_OF_ENDS.get(end.how, end.how)}" for end in facts.ends[:3]
    )
    how = WORDS_OF_ENDS.get(facts.how or "", facts.how)
    if facts.ends and facts.ends[0].how == facts.how:
        how = facts.ends[0].http2 or how
    by = (
        "both sides"
        if facts.ended_by == "both"
        else f"the {facts.ended_by}"
        if is_known
        else "an unknown side"
    )
    manner = f" ({how})" if how else ""
    return f"ended by {by}{manner}; on the wire: {ends or 'no end of a TCP connection'}"


def two_causes(*pairs: tuple[str, str]) -> tuple[Cause, ...]:
    """Causes with the same bytes, most likely first."""
    return tuple(Cause(*pair) for pair in pairs)


def lag_line(facts: ConnectionFacts) -> str:
    """That this tap was blind at the end, so what is said of times and order is said with less; "" else."""
    end_ns = facts.end_ns
    if end_ns is None or facts.is_certain(end_ns, end_ns, 0):
        return ""
    unread = end_ns - lag.earliest_ns(facts.lags, end_ns)
    return f"this proxy got no CPU for up to {seconds(unread)} just before: the end may have come earlier"


#: Who ended a connection of which both ends were read at once.
EITHER_SIDE: Final = (
    Cause("the server's side ended it first", "the server's log for this moment"),
    Cause("the client's side ended it first", "the client's log for this moment"),
)


def unknown_order(facts: ConnectionFacts) -> str | None:
    """That client and server ended the connection while this tap was blind, so who was first is not known;
    None where it is."""
    firsts = [next((end for end in facts.ends if end.side == side), None) for side in ("client", "server")]
    client, server = firsts
    if client is None or server is None or facts.is_order_known(client.time_ns, server.time_ns):
        return None
    return "both sides had ended when this proxy, which had got no CPU, read it: who was first is not known"


def _value(head: RawHead, name: str) -> str:
    return (head.get(name) or b"").decode("latin-1")[:_SHOWN]
