"""A server that closes without a word what it has just accepted, though its code says that all is well."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from wsinspect.findings.evidence import answer_marks, end_line, js_sees, named, seconds
from wsinspect.findings.facts import C2S, S2C, SECOND_NS, ConnectionFacts, FrameFact
from wsinspect.findings.model import Cause, Found
from wsinspect.findings.registry import Rules

rules = Rules()

#: Nobody has waited for anything before this.
_AT_ONCE_NS: Final = SECOND_NS
#: After these a CLOSE that gives no reason was asked for.
_GOODBYE: Final = re.compile(
    r"\b(?:(?:good)?bye|quit|exit|close(?:d|_?stream)?|stop(?:ped)?|end(?:ed)?|disconnect|log-?out|terminat\w*"
    r"|done|finish(?:ed)?|eof|eos|complete)\b",
    re.I,
)
#: The characters of a message in which a goodbye is looked for.
_SEARCHED: Final = 160

_NO_ROUTE: Final = Cause(
    "no handler of the application has this path: an express-ws route on another app or router, a"
    " fastify route without `websocket: true`",
    "a path that certainly does not exist: does it end the same way?",
)
_TURNED_AWAY: Final = Cause(
    "a middleware, or the handler itself, turns this client away after the accept: login, Origin, a limit",
    "the same handshake with the cookie or token of a session; the server's log",
)
_RAISED: Final = Cause(
    "the handler raised an exception, or returned, right after the accept",
    "the server's log for this moment",
)
_NO_SUBPROTOCOL: Final = Cause(
    "the server wants a subprotocol, and the client offered none (Bokeh: 'bokeh' and a token)",
    "the same handshake with the subprotocol that the server's own client offers",
)
_AT_MESSAGE: Final = (
    Cause("the handler raised an exception at this message", "the server's log for this moment"),
    Cause(
        "the server turns this client away by what the message says, or does not say",
        "the same connection with another first message",
    ),
    Cause("the server is done after one message, as intended", "its code or its documents"),
)


@rules(
    "WS-CL-035",
    "warning",
    "server",
    "The server accepted the WebSocket and closed it at once, without a word",
    meaning="Its CLOSE names no reason, its code is that of a normal end, and it had sent nothing. Frameworks"
    " do this where no handler has the path, and where middleware or a handler ends it or raises an error.",
    js="close with code 1005 or 1000, wasClean true and no reason: nothing that looks like an error.",
    confidence="medium",
    topic="mute-close",
    rows="H16 F8",
    group="end",
)
def closed_without_a_word(facts: ConnectionFacts) -> Iterator[Found]:
    close = _mute_close(facts)
    if close is None or facts.open_ns is None:
        return
    asked = [one for one in facts.last_frames if one.direction == C2S and one.opcode < 8]
    since = asked[0].time_ns if asked else facts.open_ns
    waited = close.time_ns - since
    # One message that is whole: a client that had sent more was listened to.
    is_first = len(asked) == 1 and asked[0].fin and not _says_goodbye(facts)
    if not 0 <= waited < _AT_ONCE_NS or (asked and not is_first):
        return
    code = facts.server_close_code
    evidence = (
        f"the server sent CLOSE {'without a code' if code is None else code}, no reason",
        f"{seconds(waited)} after the {'first message c>s' if asked else '101'}; no data s>c",
        end_line(facts),
        js_sees(facts),
    )
    if asked:
        yield Found(
            evidence=evidence,
            frame=close.id,
            severity="note",
            confidence="low",
            title="The server closed right after the client's first message, without a word",
            js=js_sees(facts),
            software=named(answer_marks(facts)),
            causes=_AT_MESSAGE,
        )
        return
    yield Found(
        evidence=evidence,
        frame=close.id,
        js=js_sees(facts),
        software=named(answer_marks(facts)),
        causes=(
            _NO_ROUTE,
            _TURNED_AWAY,
            *(() if facts.negotiation.subprotocols_offered else (_NO_SUBPROTOCOL,)),
            _RAISED,
        ),
    )


def _mute_close(facts: ConnectionFacts) -> FrameFact | None:
    """The CLOSE frame of a server that sent no data, gave no reason and came first; None for any other."""
    is_servers = facts.was_open and facts.ended_by == "server" and facts.server_close_reason == ""
    if not is_servers or facts.server_close_code not in (None, 1000, 1005):
        return None
    is_whole = len(facts.last_frames) == sum(facts.frames) and not (facts.opaque or facts.has_gap)
    if not is_whole or any(one.direction == S2C and one.opcode < 8 for one in facts.last_frames):
        return None
    return next((one for one in facts.last_frames if one.is_close and one.direction == S2C), None)


def _says_goodbye(facts: ConnectionFacts) -> bool:
    """Whether the client's only message may end its session: it is empty, or has a word for that."""
    mine = [one for one in facts.first if one.direction == C2S]
    return any(one.length == 0 or _GOODBYE.search(one.text[:_SEARCHED]) is not None for one in mine)
