"""What the text of a page or script says about WebSockets: addresses, and code that would open one.

Contract: bounded. `Scanner.feed` takes pieces as they pass, looks at the first `MAX_BYTES` and keeps a few
matches; it never raises, whatever the bytes are.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import Any, Final

#: Bytes of one body that are looked at, after decompressing.
MAX_BYTES: Final = 512 * 1024
_TAIL: Final = 300
_PIECE: Final = 4096
_URLS: Final = 10
_URL: Final = re.compile(rb"""["'`](wss?://[^\s"'`<>\\${}]{3,200})(?=["'`]|\$\{)""", re.I)
#: Since 2024 the constructor takes http and https, too.
_CONSTRUCTED: Final = re.compile(
    rb"""new\s+WebSocket\s*\(\s*["'`](https?://[^\s"'`<>\\${}]{3,200})(?=["'`]|\$\{)""", re.I
)
_CODE: Final = re.compile(
    rb"new\s+WebSocket\s*\(|\bio\s*\(|socket\.io|SockJS\s*\(|HubConnectionBuilder|createConsumer\s*\("
    rb"|new\s+Phoenix\.Socket|graphql-ws|ReconnectingWebSocket|\.connect\(\s*[\"']wss?:",
    re.I,
)
_WORKER: Final = re.compile(rb"serviceWorker\s*\.\s*register\s*\(\s*[\"']([^\"']{1,200})[\"']", re.I)
_META_CSP: Final = re.compile(
    rb"<meta[^>]{0,200}http-equiv\s*=\s*[\"']?content-security-policy[\"']?[^>]{0,20}content\s*=\s*\"([^\"]{1,2000})\"",
    re.I,
)
_EIO_OPEN: Final = re.compile(rb'"upgrades"\s*:\s*\[([^\]]{0,100})\]')


_Inflate = Callable[[bytes], bytes]


class Scanner:
    """Looks through one body.

    Args:
        inflate: turns a piece as it came into text; None where the body is not compressed.

    Attributes:
        urls: `ws:` and `wss:` addresses in it.
        code: the first piece of code that would open a WebSocket.
        worker: the script of a service worker that it registers.
        policies: Content-Security-Policies in `meta` elements.
        upgrades: what an Engine.IO handshake offers to upgrade to; None where it is not one.
    """

    def __init__(self, inflate: _Inflate | None = None) -> None:
        self.urls: list[str] = []
        self.code: str | None = None
        self.worker: str | None = None
        self.policies: list[str] = []
        self.upgrades: list[str] | None = None
        self._inflate = inflate
        self._seen = 0
        self._tail = b""

    def feed(self, chunk: bytes) -> None:
        """Look at one more piece."""
        for start in range(0, len(chunk), _PIECE):
            if self._seen >= MAX_BYTES:
                return
            piece = chunk[start : start + _PIECE]
            if self._inflate is not None:
                try:
                    piece = self._inflate(piece)[: MAX_BYTES - self._seen]
                except (zlib.error, ValueError, RuntimeError, OSError):
                    self._seen = MAX_BYTES
                    return
            self._look(piece)

    def _look(self, piece: bytes) -> None:
        self._seen += len(piece)
        text = self._tail + piece
        for match in (*_URL.finditer(text), *_CONSTRUCTED.finditer(text)):
            url = match[1].decode("latin-1")
            if url not in self.urls and len(self.urls) < _URLS:
                self.urls.append(url)
        if self.code is None and (found := _CODE.search(text)):
            self.code = found[0].decode("latin-1")
        if self.worker is None and (found := _WORKER.search(text)):
            self.worker = found[1].decode("latin-1")
        for match in _META_CSP.finditer(text):
            policy = match[1].decode("latin-1")
            if policy not in self.policies and len(self.policies) < 4:
                self.policies.append(policy)
        if self.upgrades is None and (found := _EIO_OPEN.search(text)):
            self.upgrades = re.findall(r'"([^"]+)"', found[1].decode("latin-1"))
        self._tail = text[-_TAIL:]


def inflater(encoding: str, others: dict[str, Any] | None = None) -> _Inflate | None:
    """What decompresses a Content-Encoding; None for identity.

    Args:
        others: functions that decompress, by the name of an encoding that the standard library lacks.

    Raises:
        ValueError: nobody knows it.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return None
    if name in ("gzip", "x-gzip"):
        return zlib.decompressobj(31).decompress
    if name == "deflate":
        return zlib.decompressobj().decompress
    if others and name in others:
        found: _Inflate = others[name]
        return found
    raise ValueError(name)
