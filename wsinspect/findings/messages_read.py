"""What the rules of application protocols share: reading messages and URLs."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import parse_qs

from wsinspect.decoders.engineio import is_engineio_path
from wsinspect.findings.facts import ConnectionFacts, MessageFact
from wsinspect.findings.quotes import without_secrets

JS_SEE_EVIDENCE: Final = (
    "See the last line of the evidence: the code of the server's CLOSE frame, otherwise 1006."
)
_SHOWN: Final = 160


def query(facts: ConnectionFacts) -> dict[str, str]:
    """The parameters of the URL, the first of each name."""
    pairs = parse_qs(facts.path.partition("?")[2], keep_blank_values=True, max_num_fields=None)
    return {name: values[0] for name, values in pairs.items()}


def is_socketio(facts: ConnectionFacts) -> bool:
    """Whether the URL is Engine.IO's: `EIO=` and `transport=`."""
    return is_engineio_path(facts.path)


def read_json(message: MessageFact) -> Any:
    """A message's JSON; None where it is not JSON, or cut."""
    if message.opcode != 1 or message.data[:1] not in b"{[":
        return None
    try:
        return json.loads(message.data)
    except (ValueError, RecursionError):
        return None


def messages(facts: ConnectionFacts) -> tuple[MessageFact, ...]:
    """First and last messages, each once."""
    known = {message.id for message in facts.first}
    return (*facts.first, *(message for message in facts.last if message.id not in known))


def shown(message: MessageFact) -> str:
    """A message as evidence."""
    return f"{message.direction.arrow} {message.text[:_SHOWN]}"


def shown_masked(message: MessageFact) -> str:
    """The same for what may quote the client's credentials: an error that a peer reports."""
    return without_secrets(shown(message))
