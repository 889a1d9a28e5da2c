"""A capture of WebSockets that are open at once, with everything that peers send, compressed or not."""

from __future__ import annotations

import random
from pathlib import Path

from tests.support.chats import SECRET_REQUEST, Chat, store
from tests.support.journals import Talk
from tests.support.packets import RESPONSE

_DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
REQUEST = SECRET_REQUEST[:-2] + _DEFLATE
ANSWER = RESPONSE[:-2] + _DEFLATE


def busy_capture(path: Path, seed: int) -> Path:
    """Connections at once with everything that peers send, compressed or not."""
    rng = random.Random(seed)
    script = Chat()
    talks = []
    for number in (1, 2, 3):
        deflate = rng.random() < 0.5
        script.begin(number, REQUEST if deflate else SECRET_REQUEST, "/room")
        script.answer(number, ANSWER if deflate else RESPONSE)
        script.event(number, "open")
        talks += [(number, side, Talk(rng, side, deflate=deflate)) for side in (0, 1)]
    for _ in range(60):
        number, side, talk = rng.choice(talks)
        script.data(number, side, talk.frames())
    for number, how in ((1, "fin"), (2, "rst")):
        script.event(number, "end", side="server", how=how)
        script.event(number, "end", side="client", how=how)
        script.event(number, "closed")
    return store(path, script)
