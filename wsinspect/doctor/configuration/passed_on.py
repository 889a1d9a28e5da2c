"""What asking the server behind a hop adds to the hop's 502 or 503: which of its causes it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from wsinspect.doctor.behind import Behind, What
from wsinspect.doctor.configuration.model import Backend, Defect, Edit, Lines
from wsinspect.findings.addresses import address_space
from wsinspect.findings.fixes import fixes_for
from wsinspect.findings.model import MAX_EVIDENCE, Cause, Finding, Fix
from wsinspect.findings.software import NAMES
from wsinspect.findings.upstream import CAUSES

_GOES: Final = " is where it goes"
_TITLES: Final[Mapping[What, str]] = {
    "refused": "nothing listens at {where}, where {name} passes this request on",
    "dropped": "{where}, where {name} passes this request on, does not take connections",
    "plain": "{name} speaks TLS with {where}, which speaks plain HTTP",
    "tls": "{name} speaks plain HTTP with {where}, which speaks TLS",
    "closes": "the application at {where} closes the connection without an answer",
    "broken": "what answers at {where} does not speak HTTP",
    "same": "the application at {where} gives this answer itself",
}
_MEANINGS: Final[Mapping[What, str]] = {
    "refused": "The proxy got no connection to the server that its configuration names; the doctor, on the"
    " same machine, gets none either.",
    "dropped": "The proxy got no connection to the server that its configuration names; the doctor, on the"
    " same machine, gets no answer from there either.",
    "plain": "The proxy begins TLS where the server expects a request, so the two cannot talk.",
    "tls": "The proxy sends a plain request where the server expects TLS, so the two cannot talk.",
    "closes": "The proxy reaches the server and gets no answer; asked by the doctor, it does the same.",
    "broken": "The proxy reaches the server and cannot read its answer; the doctor gets the same.",
    "same": "Asked without the proxy, the server gives the same status: the proxy passes it on.",
}
#: The server itself is why, whatever the configuration says.
_SERVERS: Final = ("closes", "broken", "same")
#: The scheme in the configuration is why.
_SCHEMES: Final = ("plain", "tls")
#: Causes that are ruled out where the server answers.
_ANSWERED: Final = tuple(CAUSES[name][0] for name in ("refused", "answer", "scheme", "dropped", "closed"))
_UNTRUSTED: Final = CAUSES["tls"][0]
_LATE: Final = Cause("the application was not up at that moment", "ask again")
_UNANSWERED: Final = (
    Cause("it fails at this request, or is not the application", "its log; what listens there: ss -ltnp"),
    Cause(
        "it expects a PROXY header, a client certificate or HTTP/2 alone, which the proxy does not send",
        "its configuration; does another client of it work?",
    ),
)
_LOOK: Final = Fix(
    "general",
    "Look in the application's log for this moment: it got the request. Is it what should listen there?",
)


def as_asked(
    finding: Finding, defect: Defect, software: str, texts: Mapping[str, str], behind: Behind
) -> tuple[Finding, Defect | None]:
    """A finding about a hop that got no valid answer, once the server that it asks was asked.

    Args:
        defect: of the kind "upstream", with its `backend`.
        texts: of the configuration's files.

    Returns:
        The finding, and the line of the configuration that it comes from; None where no line is why.
    """
    backend = defect.backend
    assert backend is not None
    line = f"asked from here: {behind.words}"
    finding = replace(finding, evidence=(line, *finding.evidence)[:MAX_EVIDENCE])
    status = re.match(r"\d{3}\b", finding.title)
    what: What = behind.what
    if what == "answers" and status is not None and behind.status == int(status[0]):
        what = "same"
    words = _TITLES.get(what)
    if words is not None:
        said = words.format(where=behind.target.address, name=NAMES[software])
        title = f"{status[0]}: {said}" if status else said[0].upper() + said[1:]
        finding = replace(finding, title=title, meaning=_MEANINGS[what])
    place = defect.words.partition(_GOES)[0]
    if what in _SERVERS:
        evidence = (line, f"{defect.at}: {place}", *finding.evidence[1:])[:MAX_EVIDENCE]
        servers = replace(finding, fault_of="server", hop=None, evidence=evidence, causes=(), fixes=(_LOOK,))
        if what != "same":  # it may expect something else than an HTTP/1.1 request
            servers = replace(servers, causes=_UNANSWERED, confidence="medium")
        return servers, None
    if what in _SCHEMES:
        edits = scheme_edits(backend, software, texts)
        wrong = replace(defect, words=place, at=backend.at, edits=edits, advice=_advice(backend, software))
        fixes = fixes_for("backend-tls", (software,))
        return replace(finding, fault_of="hop", causes=(), fixes=fixes), wrong
    finding = replace(finding, causes=_causes(finding, backend, software, what))
    if what not in ("refused", "dropped"):
        return finding, defect
    advice = f"start the application at {behind.target.address}, or write where it listens (ss -ltn)"
    return replace(finding, fault_of="hop"), replace(defect, words=place, advice=f"{place}: {advice}")


def _causes(finding: Finding, backend: Backend, software: str, what: What) -> tuple[Cause, ...]:
    own = Cause(
        f"{NAMES[software]} runs in a container, whose {backend.host} is not this machine's",
        "docker ps; from there this machine is host.docker.internal",
    )
    container = (own,) if address_space(backend.host) == "loopback" else ()
    if what == "refused":
        down = Cause(
            "the application is not running, or listens somewhere else", "ss -ltn lists what listens"
        )
        return (down, *container)
    if what == "dropped":
        return (Cause(*CAUSES["dropped"]), *container)
    if what in ("answers", "accepts"):
        rest = [one for one in finding.causes if one.cause not in _ANSWERED]
        return (*container, *rest, _LATE)
    if what in ("untrusted", "no-tls"):
        is_first = [one for one in finding.causes if one.cause == _UNTRUSTED]
        return (*is_first, *(one for one in finding.causes if one not in is_first))
    return finding.causes


def _advice(backend: Backend, software: str) -> str:
    """What a diff alone does not say."""
    if backend.is_tls:
        return ""
    return {
        "apache": "https:// or wss:// there, with SSLProxyEngine On",
        "haproxy": "ssl verify required ca-file FILE behind the address, or verify none",
        "caddy": "https:// in front of the address; for its own CA transport http { tls_trust_pool ... }",
        "envoy": "a transport_socket of tls in the cluster",
        "traefik": "https:// there, with a serversTransport whose rootCAs has its CA",
    }.get(software, "")


def scheme_edits(backend: Backend, software: str, texts: Mapping[str, str]) -> tuple[Edit, ...]:
    """What makes a hop speak the other scheme with its server; nothing where one word does not do it.

    To TLS only nginx is changed: the others check certificates, and need to know whose they trust.
    """
    file, number = backend.at
    if file not in texts or not (backend.is_tls or software == "nginx"):
        return ()
    lines = Lines(file, texts[file])
    text, start = lines.get(number), lines.start(number)
    found = re.search(r"\b(https|wss|http|ws)(?=://)", text, re.I)
    if found is not None:
        other = {"https": "http", "wss": "ws", "http": "https", "ws": "wss"}[found[1].lower()]
        is_right = found[1].lower() in (("https", "wss") if backend.is_tls else ("http", "ws"))
        return (Edit(file, start + found.start(), start + found.end(), other),) if is_right else ()
    if software != "haproxy":
        return ()
    option = re.search(r"\sssl(?=\s|$)", text)
    return () if option is None else (Edit(file, start + option.start(), start + option.end(), ""),)
