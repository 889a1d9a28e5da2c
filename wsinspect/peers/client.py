"""The opening handshake of a client that is played by hand, and its socket (RFC 6455 section 4.1).

It speaks to a proxy of ours on loopback, which records everything and does TLS; `Host` and `Origin` are those
of the server that is meant.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wsinspect.errors import UsageError
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import DEFLATE, Negotiation, negotiate
from wsinspect.net import Address, bracketed
from wsinspect.peers.socket import PeerFacts, Seen, Socket
from wsinspect.replay.common.conduit import Conduit, Listener
from wsinspect.replay.common.handshake import Target
from wsinspect.version import __version__
from wsinspect.wire.opcodes import Direction

#: How much of a refusal's body is kept, and how long it may take to come.
_MOST_BODY: Final = 64 * 1024
_BODY_SECONDS: Final = 2.0
#: RFC 9110 section 5.6.2.
_TOKEN_CHARACTERS: Final = frozenset(
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)
#: Ours to send: each connection needs its own, or they say where the request goes.
_OURS: Final = frozenset(
    ("sec-websocket-key", "sec-websocket-version", "upgrade", "connection", "content-length")
)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to ask for.

    Attributes:
        target: where to; its path is never None.
        headers: name and value, in order; they replace `Host`, `Origin` and `User-Agent`.
        subprotocols: offered, in order.
        cookies: `name=value` each.
        compress: offer permessage-deflate.
    """

    target: Target
    headers: Sequence[tuple[str, str]] = ()
    subprotocols: Sequence[str] = ()
    cookies: Sequence[str] = ()
    compress: bool = False

    def raw(self, key: bytes, *, is_absolute: bool = False) -> bytes:
        """The header block, with this Sec-WebSocket-Key.

        Args:
            is_absolute: the request target is a URL, as an HTTP proxy takes it (RFC 9112 section 3.2.2).
        """
        given = {name.lower() for name, _ in self.headers}
        fields: list[tuple[str, str]] = []
        for name, value in (("Host", self.target.authority), ("User-Agent", f"wsinspect/{__version__}")):
            if name.lower() not in given:
                fields.append((name, value))
        fields += [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Key", key.decode())]
        fields.append(("Sec-WebSocket-Version", "13"))
        if self.subprotocols:
            fields.append(("Sec-WebSocket-Protocol", ", ".join(self.subprotocols)))
        if self.compress:
            fields.append(("Sec-WebSocket-Extensions", f"{DEFLATE}; client_max_window_bits"))
        if self.cookies:
            fields.append(("Cookie", "; ".join(self.cookies)))
        fields += self.headers
        path = (self.target.path or "/").replace(" ", "%20")
        if is_absolute:
            path = f"http://{self.target.authority}{path}"
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "", ""]
        return "\r\n".join(lines).encode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class Proxy:
    """The proxy to speak to.

    Attributes:
        address: of a listener.
        is_regular: an HTTP proxy, for any server; otherwise one in front of the target.
        context: trusts the proxy's certificate, for `wss` through an HTTP proxy.
        serves: the URL of the one server that it is in front of, whatever is asked for; None where it is any.
        capture: what it records to; None where it is not known.
    """

    address: Address
    is_regular: bool = False
    context: ssl.SSLContext | None = None
    serves: str | None = None
    capture: Path | None = None


@dataclass(frozen=True)
class Refused:
    """Another answer than a correct 101.

    Attributes:
        response: None where the connection ended without one.
        body: its beginning.
        problems: what is wrong with a 101 (`Negotiation.problems`).
        key: the Sec-WebSocket-Key of the request.
    """

    response: RawHead | None
    body: bytes = b""
    problems: tuple[str, ...] = ()
    key: bytes = b""


@dataclass(frozen=True)
class Opened:
    """An open WebSocket, which has not been read yet: `socket.begin()` does that."""

    socket: Socket
    response: RawHead
    agreed: Negotiation


def parse_url(text: str) -> Target:
    """`wss://host/path?query`, `localhost:3000/chat` (which is `ws:`); http and https mean ws and wss.

    Raises:
        UsageError: it is not such a URL.
    """
    if not text.strip():
        raise UsageError("expected a URL, such as localhost:3000/chat")
    url = text if "://" in text else f"ws://{text}"
    url, hash_, _ = url.partition("#")
    if hash_:
        raise UsageError(f"{text!r}: a WebSocket's URL has no fragment (#)")
    if any(ord(character) < 0x21 or ord(character) == 0x7F for character in url):
        raise UsageError(f"{text!r}: a URL has no spaces or control characters")
    target = Target.parse(url)
    return target if target.path is not None else target._replace(path="/")


def parse_header(text: str) -> tuple[str, str]:
    """`Name: value`.

    Raises:
        UsageError: it is none, or one that the handshake needs for itself.
    """
    name, colon, value = text.partition(":")
    name, value = name.strip(), value.strip()
    if not colon or not name or not _TOKEN_CHARACTERS.issuperset(name):
        raise UsageError(f"invalid header {text!r}", hint="write 'Name: value'")
    if any(character in value for character in "\r\n\0"):
        raise UsageError(f"invalid header {text!r}: a value has one line")
    if name.lower() in _OURS:
        raise UsageError(f"{name} belongs to the handshake itself and cannot be set")
    if name.lower() == "sec-websocket-protocol":
        raise UsageError(f"{name}: use --subprotocol")
    if name.lower() == "sec-websocket-extensions":
        raise UsageError(f"{name}: use --compress")
    return name, value


def parse_subprotocols(texts: Sequence[str]) -> list[str]:
    """Names, several by comma (RFC 6455 section 4.1: tokens, each once).

    Raises:
        UsageError: one is not a token, or is given twice.
    """
    names = [name.strip() for text in texts for name in text.split(",")]
    for name in names:
        if not name or not _TOKEN_CHARACTERS.issuperset(name):
            raise UsageError(f"invalid subprotocol {name!r}")
        if names.count(name) > 1:
            raise UsageError(f"subprotocol {name!r} is offered twice")
    return names


def parse_cookie(text: str) -> str:
    """`name=value`.

    Raises:
        UsageError: it is none.
    """
    name, equals, value = text.partition("=")
    if not equals or not _TOKEN_CHARACTERS.issuperset(name) or not name or any(c in value for c in ";\r\n\0"):
        raise UsageError(f"invalid cookie {text!r}", hint="write name=value; repeat --cookie for more")
    return text


async def open_socket(
    proxy: Proxy,
    request: Request,
    *,
    octets: Callable[[int], bytes],
    now_ns: Callable[[], int],
    on_frame: Callable[[Seen], None],
    answers_pings: bool = True,
) -> Opened | Refused:
    """Connect to a proxy that forwards to the target, and open a WebSocket through it.

    Raises:
        OSError: the proxy cannot be reached.
    """
    key = base64.b64encode(octets(16))
    is_tunnelled = proxy.is_regular and request.target.scheme == "wss"
    raw = request.raw(key, is_absolute=proxy.is_regular and not is_tunnelled)
    conduit = Conduit()
    if is_tunnelled:
        refusal = await _tunnel(proxy, request.target, conduit)
        if refusal is not None:
            return Refused(refusal, key=key)
    else:
        await asyncio.get_running_loop().create_connection(lambda: conduit, *proxy.address)
    conduit.write(raw)
    response = await conduit.head()
    if response is None or response.status is None:
        conduit.close()
        return Refused(response, key=key)
    sent = RawHead.parse(raw)
    agreed = negotiate(sent, response)
    if response.status != 101 or agreed.problems:
        body = await _body(conduit) if response.status != 101 else b""
        conduit.close()
        return Refused(response, body, agreed.problems if response.status == 101 else (), key)
    target = request.target
    facts = PeerFacts(target.host, target.port, target.path, agreed.subprotocol, (sent, response))
    socket = Socket(
        conduit,
        Direction.CLIENT_TO_SERVER,
        facts,
        deflate=agreed.deflate,
        octets=octets,
        now_ns=now_ns,
        on_frame=on_frame,
        answers_pings=answers_pings,
    )
    return Opened(socket, response, agreed)


async def _tunnel(proxy: Proxy, target: Target, conduit: Conduit) -> RawHead | None:
    """TLS to the target through an HTTP proxy (RFC 9110 section 9.3.6); the answer where none is allowed."""
    reader, writer = await asyncio.open_connection(*proxy.address)
    where = f"{bracketed(target.host)}:{target.port}"
    writer.write(f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n\r\n".encode())
    try:
        head = RawHead.parse(await reader.readuntil(b"\r\n\r\n"))
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        writer.close()
        raise OSError(f"the proxy did not answer CONNECT: {error}") from None
    if head.status is None or not 200 <= head.status < 300:
        writer.close()
        return head
    context = proxy.context or ssl.create_default_context()
    loop = asyncio.get_running_loop()
    transport = await loop.start_tls(writer.transport, conduit, context, server_hostname=target.host)
    if transport is None:
        raise OSError("the proxy ended the connection during the TLS handshake")
    conduit.connection_made(transport)
    return None


class _Body(Listener):
    """Collects what follows a header block."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.is_over = asyncio.Event()

    def on_data(self, data: bytes) -> None:
        self.data += data[: _MOST_BODY - len(self.data)]
        if len(self.data) >= _MOST_BODY:
            self.is_over.set()

    def on_end(self, how: str) -> None:
        self.is_over.set()


async def _body(conduit: Conduit) -> bytes:
    """The beginning of a refusal's body: as much as comes soon, or until the connection ends."""
    body = _Body()
    conduit.listen(body)
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            await body.is_over.wait()
    except TimeoutError:
        pass  # a connection that stays open for another request
    return bytes(body.data)
