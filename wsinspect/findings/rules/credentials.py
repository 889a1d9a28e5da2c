"""Credentials as messages, and messages that come too early."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from wsinspect.findings.evidence import js_sees, seconds
from wsinspect.findings.facts import C2S, S2C, SECOND_NS, ConnectionFacts
from wsinspect.findings.messages_read import JS_SEE_EVIDENCE, shown
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules

rules = Rules()

#: A message this soon after the 101 was sent with it, or right after it.
EARLY_NS: Final = 5_000_000

_AUTH_WORDS: Final = re.compile(
    r"unauthor|unauthen|forbidden|auth|token|jwt|login|credential|not allowed", re.I
)


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
    is_auth = bool(_AUTH_WORDS.search(facts.server_close_reason or "")) or code in (4001, 4003, 4401, 4403)
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
