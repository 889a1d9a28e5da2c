"""Pages of `wsinspect report`, taken apart, and captures that try to break out of them."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from tests.support.chats import Chat, store

#: What would run if it were not escaped.
ATTACK = (
    "\"'></script></style></textarea><script>window.hacked=1</script>"
    '<img src=x onerror="window.hacked=2"><!--'
)


class Parsed(HTMLParser):
    """The elements of a page.

    Attributes:
        tags: names with attributes, in order.
        texts: what is between them, by the name of the element around it.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self._said: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)
            if self._open[-1] not in ("script", "style"):
                self._said.append(data)

    def text(self) -> str:
        """All that is read, in its order."""
        return " ".join(self._said)


def data_of(page: str) -> Any:
    """What the page's script draws."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found
    return json.loads(found[1])


def attacking_capture(path: Path) -> Path:
    """Peers that say nothing but markup: in handshakes and the names of their fields, in messages, in CLOSE
    frames, in a refusal, in names of hosts and of taps, in the words of an error.
    """
    bytes_ = ATTACK.encode()
    name = ATTACK.replace(" ", "").replace(":", "")
    script = Chat()
    line = ATTACK.replace(" ", "%20")
    request = (
        f"GET /{line} HTTP/1.1\r\nHost: {line}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"{name}: {ATTACK}\r\nOrigin: {ATTACK}\r\nSec-WebSocket-Key: {ATTACK}\r\n"
        f"Sec-WebSocket-Protocol: {ATTACK}\r\n\r\n"
    ).encode()
    answer = (
        f"HTTP/1.1 101 {ATTACK}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nServer: {ATTACK}\r\n"
        f"{name}: {ATTACK}\r\nSec-WebSocket-Protocol: {ATTACK}\r\n\r\n"
    ).encode()
    script.begin(1, request, f"/{ATTACK}")
    script.answer(1, answer)
    script.event(1, "open")
    script.client(1, bytes_)
    script.server(1, b'{"type":"' + bytes_ + b'","id":"' + bytes_ + b'"}')
    script.server(1, bytes_, opcode=9)
    script.fault(1, ATTACK, ATTACK, direction="s2c", frame=0, detail={ATTACK: ATTACK})
    script.server(1, (1011).to_bytes(2, "big") + bytes_[:120], opcode=8)
    script.end(1, "server", ATTACK)
    script.begin(2, request, f"/{ATTACK}")
    script.answer(2, f"HTTP/1.1 502 {ATTACK}\r\nServer: {ATTACK}\r\n\r\n".encode())
    script.body(2, b"<html>" + bytes_)
    script.event(2, "refused", status=502)
    script.event(2, "closed")
    place = dict.fromkeys(("tap", "client", "listener", "host", "path", "http_version"), ATTACK)
    script.event(3, "attempt", scheme="ws", port=80, **place)
    script.head(3, 0, request)
    script.head(3, 1, request.replace(b"websocket", bytes_))
    script.event(3, "server", address=ATTACK, peer=ATTACK, reused=False)
    script.event(3, "failed", where="response", error=ATTACK)
    script.event(3, "closed")
    return store(path, script)
