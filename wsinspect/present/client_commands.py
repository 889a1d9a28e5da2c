"""An opening handshake as what other clients would do: websocat, wscat, JavaScript (ws), Python (websockets).

Contract: what is printed runs as it is. Fields that the clients make themselves (RFC 6455 section 4.1) are
left out; text of peers is quoted, and reduced to printable characters, so that pasting does nothing else.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from wsinspect.handshake.heads import RawHead
from wsinspect.net import bracketed

#: Clients send these themselves, or refuse to be given them.
_CLIENTS_OWN: Final = frozenset(
    {b"host", b"connection", b"upgrade", b"content-length", b"transfer-encoding", b"keep-alive"}
)
_DEFLATE: Final = b"permessage-deflate"


class ClientCommand(NamedTuple):
    """Another client.

    Attributes:
        name: as in a sentence.
        suffix: of a file with what it runs.
        make: from a handshake to what is to be run.
    """

    name: str
    suffix: str
    make: Callable[[OpeningRequest], str]


class OpeningRequest(NamedTuple):
    """What another client needs: the URL, and what the recorded request asked for.

    Attributes:
        fields: names and values that are not the client's own, in order.
        subprotocols: those that were offered.
        origin: the field's value; None where there was none.
        with_deflate: whether permessage-deflate was offered.
    """

    url: str
    fields: tuple[tuple[str, str], ...] = ()
    subprotocols: tuple[str, ...] = ()
    origin: str | None = None
    with_deflate: bool = False


def opening_request(
    scheme: str | None, host: str | None, port: int | None, path: str | None, head: RawHead | None
) -> OpeningRequest:
    """A recorded request, for another client; `head` None asks for the URL alone."""
    name = "wss" if scheme in ("wss", "https") else "ws"
    place = bracketed(host or "localhost") + (f":{port}" if port else "")
    url = _text(f"{name}://{place}{path or '/'}".encode())
    if head is None:
        return OpeningRequest(url)
    fields: list[tuple[str, str]] = []
    for field in head.fields:
        lower = field.name.lower()
        if (
            not field.name
            or lower.startswith(b":")  # of HTTP/2: these clients ask over HTTP/1.1
            or lower in _CLIENTS_OWN
            or lower == b"origin"
            or lower.startswith(b"sec-websocket-")
        ):
            continue
        fields.append((_text(field.name), _text(field.value)))
    origin = head.get("Origin")
    return OpeningRequest(
        url,
        tuple(fields),
        tuple(_listed(head, b"sec-websocket-protocol")),
        None if origin is None else _text(origin),
        any(
            _DEFLATE in field.value
            for field in head.fields
            if field.name.lower() == b"sec-websocket-extensions"
        ),
    )


def _listed(head: RawHead, name: bytes) -> list[str]:
    """The values of a field that is a list, over all its lines."""
    joined = b",".join(field.value for field in head.fields if field.name.lower() == name)
    return [text for part in joined.split(b",") if (text := _text(part.strip()))]


def _text(value: bytes) -> str:
    return "".join(char for char in value.decode("utf-8", "replace") if char.isprintable())


def websocat(request: OpeningRequest, *, is_typed: bool = True) -> str:
    """websocat 1.x: it ends with the connection; `-H=`, as without the sign it takes all words behind it.

    `is_typed`: a line of a terminal is a message, without its line feed, which websocat would send too.
    Otherwise what one read gives is a message.
    """
    words = ["websocat", "--exit-on-eof"]
    words += ["--linemode-strip-newlines"] if is_typed else ["--text", "--no-line"]
    words += [f"-H={name}: {value}" for name, value in request.fields]
    words += [f"--origin={request.origin}"] if request.origin is not None else []
    words += [f"--protocol={', '.join(request.subprotocols)}"] if request.subprotocols else []
    return shlex.join([*words, request.url if is_typed else f"msg2line:{request.url}"])


def wscat(request: OpeningRequest) -> str:
    """wscat of npm; its lines are sent as typed."""
    words = ["wscat", "--connect", request.url]
    for name, value in request.fields:
        words += ["--header", f"{name}:{value}"]
    words += ["--origin", request.origin] if request.origin is not None else []
    for one in request.subprotocols:
        words += ["--subprotocol", one]
    return shlex.join(words)


def javascript(request: OpeningRequest) -> str:
    """An ES module for Node's `ws`: prints what comes, and how it ends."""
    options: dict[str, object] = {"headers": _joined(request.fields)}
    if request.origin is not None:
        options["origin"] = request.origin
    options["perMessageDeflate"] = request.with_deflate
    lines = [
        "// npm install ws; node FILE.mjs",
        'import WebSocket from "ws";',
        "",
        f"const options = {_js(options)};",
        f"const socket = new WebSocket({_js(request.url)}, {_js(list(request.subprotocols))}, options);",
        'socket.on("open", () => console.log("open", socket.protocol));',
        'socket.on("message", (data, isBinary) => console.log("message", isBinary ? data : String(data)));',
        'socket.on("close", (code, reason) => console.log("close", code, String(reason)));',
        'socket.on("error", (error) => console.error("error", error.message));',
    ]
    return "\n".join(lines) + "\n"


def _joined(fields: Sequence[tuple[str, str]]) -> dict[str, object]:
    """Node takes the values of a repeated field as a list."""
    found: dict[str, object] = {}
    for name, value in fields:
        known = found.get(name)
        found[name] = value if known is None else [*(known if isinstance(known, list) else [known]), value]
    return found


def _js(value: object) -> str:
    """JSON in ASCII is JavaScript."""
    return json.dumps(value, indent=2 if isinstance(value, dict) else None)


def python(request: OpeningRequest) -> str:
    """A script with the `websockets` package: prints what comes, and how it ends."""
    lines = [
        "# pip install websockets",
        "from websockets.exceptions import ConnectionClosed",
        "from websockets.sync.client import connect",
        "",
        "with connect(",
        f"    {request.url!a},",
        f"    additional_headers={list(request.fields)!a},",
    ]
    lines += [f"    subprotocols={list(request.subprotocols)!a},"] if request.subprotocols else []
    lines += [f"    origin={request.origin!a},"] if request.origin is not None else []
    lines += [] if request.with_deflate else ["    compression=None,"]
    lines += ["    user_agent_header=None,"] if _has(request, "user-agent") else []
    lines += [
        ") as socket:",
        '    print("open", socket.subprotocol)',
        "    try:",
        "        while True:",
        '            print("message", socket.recv())',
        "    except ConnectionClosed:",
        '        print("close", socket.close_code, socket.close_reason)',
    ]
    return "\n".join(lines) + "\n"


def _has(request: OpeningRequest, name: str) -> bool:
    return any(known.lower() == name for known, _ in request.fields)


#: By a letter for a menu.
CLIENT_COMMANDS: Final = {
    "w": ClientCommand("websocat", ".sh", websocat),
    "s": ClientCommand("wscat", ".sh", wscat),
    "j": ClientCommand("JavaScript", ".mjs", javascript),
    "p": ClientCommand("Python", ".py", python),
}
