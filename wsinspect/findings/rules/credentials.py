"""Credentials as messages, messages that come too early, and last words that say why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from wsinspect.findings.evidence import end_line, js_sees, seconds
from wsinspect.findings.facts import C2S, S2C, SECOND_NS, ConnectionFacts
from wsinspect.findings.messages_read import JS_SEE_EVIDENCE, read_json, shown
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


#: A server that closes because of what it has just said does it within this.
_SOON_NS: Final = 5 * SECOND_NS
#: What the type of a message that reports a failure is called: `error`, `connection_error`, `auth_invalid`.
_ERROR_TYPE: Final = re.compile(
    r"(?:^|[._\-/])(?:errors?|invalid|failed|failure|denied|unauthori[sz]ed)$", re.I
)
#: Where such messages have their words, the first one first.
_WORDS: Final = ("message", "reason", "detail", "description", "msg", "code", "error")


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
    # A client that reacts does it at once; later it may leave for any reason.
    soon = _SOON_NS if who == "server" else SECOND_NS
    if last is None or last.direction != S2C or facts.end_ns - last.time_ns > soon:
        return
    if facts.server_close_reason or facts.client_close_reason:
        return  # which is quoted where its code is explained
    if who == "client" and facts.js_was_clean and facts.client_close_code in (None, 1000, 1001):
        return  # so does a page that is left
    words = _failure_in(read_json(last))
    if words is None:
        return
    is_about_login = bool(_AUTH_WORDS.search(f"{words} {last.text[:200]}"))
    yield Found(
        evidence=(shown(last), end_line(facts), js_sees(facts)),
        frame=last.id,
        fault_of="client" if is_about_login else None,
        severity="warning" if who == "client" else None,
        title=f"The server closed right after it had said {words[:100]!r}"
        if who == "server"
        else f"The client left right after the server had said {words[:100]!r}",
        topic="app-auth" if is_about_login else None,
        js=js_sees(facts),
    )


def _failure_in(value: object) -> str | None:
    """The words of a message that reports a failure; None for any other."""
    if not isinstance(value, dict):
        return None
    kind = next((value[name] for name in ("type", "event", "status") if isinstance(value.get(name), str)), "")
    inner = next((value[name] for name in ("error", "errors") if value.get(name)), None)
    if inner is None and not _ERROR_TYPE.search(kind):
        return None
    return _words_of(inner) or _words_of(value.get("payload")) or _words_of(value) or kind


def _words_of(value: object) -> str | None:
    if isinstance(value, str):
        return value or None
    if isinstance(value, list):
        return _words_of(value[0]) if value else None
    if isinstance(value, dict):
        return next(
            (value[name] for name in _WORDS if isinstance(value.get(name), str) and value[name]), None
        )
    return None
