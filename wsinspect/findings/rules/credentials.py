"""Credentials as messages, messages that come too early, and last words that say why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from wsinspect.findings.evidence import end_line, js_sees, seconds, two_causes
from wsinspect.findings.facts import C2S, S2C, SECOND_NS, ConnectionFacts
from wsinspect.findings.failures import failure_in, is_about_login
from wsinspect.findings.messages_read import JS_SEE_EVIDENCE, read_json, shown, shown_masked
from wsinspect.findings.model import Found
from wsinspect.findings.quotes import without_secrets
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.keepalive import no_pong

rules = Rules()

#: A message this soon after the 101 was sent with it, or right after it.
EARLY_NS: Final = 5_000_000


@rules(
    "WS-APP-070",
    "error",
    "client",
    "The token came after the connection was open, and the server closed: too late, or refused",
    meaning="The client sends its credentials as a message, and the server closed because of credentials. It"
    " wants them in the handshake, or sooner, or does not accept them.",
    js=JS_SEE_EVIDENCE,
    topic="app-auth",
    rows="H18 F7",
    group="end",
)
def late_token(facts: ConnectionFacts) -> Iterator[Found]:
    code = facts.server_close_code
    if not facts.is_over or code is None or not (code == 1008 or 4000 <= code < 5000):
        return
    mine = [message for message in facts.first if message.direction == C2S]
    token = next(
        (
            message
            for message in mine
            if re.search(r"token|authori[sz]ation|jwt|password", message.text, re.I)
        ),
        None,
    )
    is_auth = is_about_login(facts.server_close_reason or "") or code in (4001, 4003, 4401, 4403)
    if token is None or not is_auth:
        return
    after = seconds(token.time_ns - facts.open_ns) if facts.open_ns is not None else "?"
    yield Found(
        evidence=(
            f"message {token.id} with a token (not shown) came {after} after the 101",
            facts.request_line("Authorization").partition(":")[0],
            f"server closed with {code} {facts.server_close_reason or ''}",
            js_sees(facts),
        ),
        frame=token.id,
        js=js_sees(facts),
    )


@rules(
    "WS-APP-080",
    "note",
    "client",
    "The server's first messages came together with the 101",
    meaning="They arrived within a few milliseconds of the answer, and the client then sent nothing. Code"
    " that attaches its handlers after opening misses such messages.",
    js="onmessage is not called for what came before it was set.",
    topic="early-data",
    confidence="low",
    rows="F15",
)
def early_data(facts: ConnectionFacts) -> Iterator[Found]:
    first = facts.first[0] if facts.first else None
    if (
        first is None
        or facts.open_ns is None
        or first.direction != S2C
        or not facts.is_over
        or facts.frames[0] > 1
    ):
        return
    silence = facts.silence_ns()
    if (
        first.time_ns - facts.open_ns < EARLY_NS
        and silence is not None
        and silence > 5 * SECOND_NS
        and not facts.has_close
    ):
        yield Found(evidence=(shown(first), f"then silence for {seconds(silence)}"), frame=first.id)


#: A server that closes because of what it has just said does it within this.
_SOON_NS: Final = 5 * SECOND_NS
#: Codes with a reason of their own, whatever was said before: away, too big, restarting, overloaded.
_OTHER_CODES: Final = (1001, 1009, 1012, 1013)
#: With these a client complains of frames, and not of what they say.
_OF_FRAMES: Final = (1002, 1003, 1007, 1010)


@rules(
    "WS-APP-093",
    "error",
    "server",
    "The server reported an error in a message and closed",
    meaning="The server's last message reports a failure, and the server ended the connection right after it."
    " The close code alone says less.",
    js=JS_SEE_EVIDENCE,
    topic="app",
    rows="5 F7",
    group="end",
)
def last_words(facts: ConnectionFacts) -> Iterator[Found]:
    who = facts.ended_by
    if not facts.was_open or not facts.is_over or who not in ("server", "client") or facts.end_ns is None:
        return
    last = facts.last[-1] if facts.last else None
    code = facts.server_close_code if who == "server" else facts.client_close_code
    # A side that reacts does it at once; later it may leave, or be cut off, for any reason.
    soon = _SOON_NS if who == "server" and facts.has_close else SECOND_NS
    if last is None or last.direction != S2C or facts.end_ns - last.time_ns > soon:
        return
    if facts.server_close_reason or facts.client_close_reason:
        return  # which is quoted where its code is explained
    if who == "client" and facts.js_was_clean and code in (None, 1000, 1001):
        return  # so does a page that is left
    if code in _OTHER_CODES or (who == "client" and code in _OF_FRAMES):
        return
    if facts.violations or facts.problems or facts.opaque or any(no_pong(facts)):
        return  # which explains the end better
    words = failure_in(read_json(last))
    if words is None:
        return
    quoted = without_secrets(words[:200])[:100]
    is_login = is_about_login(words)
    is_coded = code is not None and code >= 1002
    yield Found(
        evidence=(shown_masked(last), end_line(facts), js_sees(facts)),
        frame=last.id,
        fault_of="client" if is_login else None,
        severity="warning" if who == "client" else None,
        # The code of a failure confirms it; a 1000, or an end without a CLOSE frame, may be about anything.
        confidence="high" if is_coded else "medium",
        title=f"The server closed right after it had said {quoted!r}"
        if who == "server"
        else f"The client left right after the server had said {quoted!r}",
        topic="app-auth" if is_login else None,
        js=js_sees(facts),
        causes=()
        if facts.has_close
        else two_causes(
            (f"the {who} ended it because of what the message says", f"the {who}'s log for this moment"),
            (
                f"the {who} crashed, or a hop cut the connection, at the same moment",
                "does it end like this after other messages, too?",
            ),
        ),
    )
