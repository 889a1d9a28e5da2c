"""Rules about XMPP (RFC 7395) and IRC over WebSocket: what is said where the connection shows nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Final

from wsinspect.findings.answering import answer
from wsinspect.findings.evidence import JS_STATUS, end_line, js_sees
from wsinspect.findings.facts import C2S, S2C, SECOND_NS, ConnectionFacts, MessageFact
from wsinspect.findings.messages_read import JS_SEE_EVIDENCE, messages, shown_masked
from wsinspect.findings.model import Found
from wsinspect.findings.quotes import without_secrets
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.handshake import is_refused

rules = Rules()

#: After a stream error only <close/> comes, and what was on its way (RFC 6120, 4.9.1).
_SOON_NS: Final = 5 * SECOND_NS
_FRAMING: Final = "urn:ietf:params:xml:ns:xmpp-framing"
_ERROR: Final = re.compile(r"<(?:stream:)?error\b[^>]*>(.{1,2000}?)</(?:stream:)?error>", re.S)
_REFUSED: Final = re.compile(r"<failure\b[^>]*xmpp-sasl[^>]*>(.{1,2000}?)</failure>", re.S)
_CONDITION: Final = re.compile(r"<([a-z][a-z-]{1,40})[\s/>]")
_TEXT: Final = re.compile(r"<text\b[^>]*>([^<]{1,300})</text>")
#: With these a server speaks of itself (RFC 6120, 4.9.3); the others are about what the client sent.
_OF_THE_SERVER: Final = frozenset(
    (
        *("internal-server-error", "remote-connection-failed", "reset", "resource-constraint"),
        *("see-other-host", "system-shutdown", "undefined-condition", "temporary-auth-failure"),
    )
)
_OPEN: Final = "over a WebSocket a stream begins with <open/>, not with <stream:stream> (RFC 7395, 3.4)"
#: What conditions mean here.
_MEANS: Final = {
    "conflict": "another session of this client took its place, or has its resource",
    "connection-timeout": "the server got nothing from the client for too long",
    "host-unknown": "the server does not serve the host in the 'to' of <open/>",
    "host-gone": "the server does not serve the host in the 'to' of <open/> any more",
    "invalid-namespace": _OPEN,
    "bad-namespace-prefix": _OPEN,
    "not-well-formed": "a message is no whole element of XML, as each one has to be (RFC 7395, 3.3)",
    "bad-format": "a message is no XML that the server can process",
    "policy-violation": "the client broke a rule of the server: size, rate, or encryption",
    "see-other-host": "the server sends the client to another address",
    "system-shutdown": "the server is going down",
    "not-authorized": "user name, password or token is not accepted",
}


def _is_xmpp(facts: ConnectionFacts) -> bool:
    if facts.negotiation.subprotocol == "xmpp":
        return True
    return any(one.direction == C2S and _FRAMING in one.text for one in facts.first[:4])


def _last_error(facts: ConnectionFacts) -> tuple[MessageFact, str] | None:
    """The server's last stream error or refusal of a login, and what is inside of it."""
    for one in reversed(messages(facts)):
        if one.direction != S2C:
            continue
        found = _ERROR.search(one.text) or _REFUSED.search(one.text)
        if found is not None and _CONDITION.search(found[1]):
            return one, found[1]
    return None


@rules(
    "WS-APP-053",
    "error",
    "client",
    "XMPP: the server ended the stream with an error",
    meaning="A stream error always ends the stream (RFC 6120, 4.9.1), and the WebSocket is then closed with"
    " 1000, as if all were well. The condition says what was wrong.",
    js=JS_SEE_EVIDENCE,
    topic="xmpp",
    rows="5",
    group="end",
)
def stream_error(facts: ConnectionFacts) -> Iterator[Found]:
    if not facts.was_open or not facts.is_over or facts.end_ns is None or not _is_xmpp(facts):
        return
    last = _last_error(facts)
    if last is None or facts.end_ns - last[0].time_ns > _SOON_NS or facts.violations:
        return
    message, inside = last
    found = _CONDITION.search(inside)
    condition = found[1] if found is not None else ""
    text = _TEXT.search(inside)
    words = unescape(text[1]).strip() if text is not None else ""
    quoted = f" ({without_secrets(words)[:100]!r})" if words else ""
    is_login = _ERROR.search(message.text) is None
    what = "refused the login with" if is_login else "ended the stream with"
    yield Found(
        evidence=(shown_masked(message), _MEANS.get(condition, ""), end_line(facts), js_sees(facts)),
        frame=message.id,
        fault_of="server" if condition in _OF_THE_SERVER else "client",
        title=f"XMPP: the server {what} '{condition}'{quoted}",
        topic="app-auth" if is_login else None,
        js=js_sees(facts),
    )


@rules(
    "WS-APP-054",
    "error",
    "client",
    "XMPP: refused, and the subprotocol 'xmpp' is missing",
    meaning="A client has to offer 'Sec-WebSocket-Protocol: xmpp' (RFC 7395, 3.1). Prosody answers 501 where"
    " it is not there, other servers 400.",
    js=JS_STATUS,
    topic="subprotocol",
    rows="5 H26",
    confidence="medium",
    group="attempt",
)
def refused_without_subprotocol(facts: ConnectionFacts) -> Iterator[Found]:
    path = facts.path.partition("?")[0].rstrip("/")
    is_lacking = "xmpp" not in facts.negotiation.subprotocols_offered
    if is_refused(facts) and facts.status in (400, 501) and path.endswith("/xmpp-websocket") and is_lacking:
        yield answer(facts, facts.request_line("Sec-WebSocket-Protocol"))


#: A server says ERROR last of all (RFC 2812, 3.7.4): what follows is the end.
_IRC_ERROR: Final = re.compile(r"^(?::\S{1,80} )?ERROR :?([^\r\n]{1,300})", re.M)
_IRC_BEGINS: Final = re.compile(r"^(?:CAP|NICK|USER|PASS|WEBIRC|AUTHENTICATE) ", re.M)
_IRC_QUIT: Final = re.compile(r"^QUIT\b", re.M)
#: A numeric that refuses what the client sent: `:server 464 nick :Password incorrect`.
_IRC_REFUSAL: Final = re.compile(r"^(?::\S{1,80} )(?:4\d\d|90[24-7]) [^\r\n]{1,200}", re.M)
#: With these a server speaks of itself.
_IRC_SERVERS: Final = re.compile(
    r"\b(?:shut(?:ting)? ?down|restart|terminat|internal|server (?:is )?(?:full|closed|going)"
    r"|no more connections)",
    re.I,
)


@rules(
    "WS-APP-058",
    "warning",
    "client",
    "IRC: the server closed the link",
    meaning="A server says ERROR before it ends a session (RFC 2812, 3.7.4), and the WebSocket is then closed"
    " as if all were well. Its words say why: a password, a ban, a limit, a ping that was not answered.",
    js=JS_SEE_EVIDENCE,
    topic="irc",
    rows="5",
    group="end",
)
def irc_closed(facts: ConnectionFacts) -> Iterator[Found]:
    if not facts.was_open or facts.ended_by != "server" or facts.end_ns is None:
        return
    said = messages(facts)
    theirs = [one for one in said if one.direction == S2C]
    ours = [one for one in said if one.direction == C2S]
    is_irc = "ircv3" in (facts.negotiation.subprotocol or "")
    is_irc |= any(_IRC_BEGINS.search(one.text) for one in ours[:4])
    last = theirs[-1] if theirs else None
    found = _IRC_ERROR.search(last.text) if last is not None else None
    if not is_irc or last is None or found is None or facts.end_ns - last.time_ns > _SOON_NS:
        return
    if any(_IRC_QUIT.search(one.text) for one in ours):
        return  # it only says goodbye
    refusals = [line[0] for one in theirs[-4:] for line in _IRC_REFUSAL.finditer(one.text)]
    words = without_secrets(found[1]).strip()
    yield Found(
        evidence=(
            shown_masked(last),
            f"before it: {without_secrets(refusals[-1])[:160]}" if refusals else "",
            end_line(facts),
            js_sees(facts),
        ),
        frame=last.id,
        fault_of="server" if _IRC_SERVERS.search(words) else "client",
        title=f"IRC: the server closed the link: {words[:100]!r}",
        js=js_sees(facts),
    )
