"""What an opening handshake offered and agreed: RFC 6455 §4 and, for permessage-deflate, RFC 7692 §7.

Contract: any field value is read, none raises; each broken rule is a short stable code in
`Negotiation.problems`. `deflate_params` gives the window sizes and takeovers that a decoder needs, whatever
the peer wrote (quoted, bare and illegal values included).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from wsinspect.handshake.heads import Field, RawHead, split_list
from wsinspect.wire.deflate import DeflateParams

#: RFC 6455 §1.3: what the key, as sent, is concatenated with.
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#: RFC 7692 §7.1.2: a base-2 logarithm between 8 and 15; 15 where the parameter is absent.
MIN_WINDOW_BITS, MAX_WINDOW_BITS = 8, 15
#: RFC 7692 §7.
DEFLATE = "permessage-deflate"
_DEFLATE_FLAGS = frozenset({"server_no_context_takeover", "client_no_context_takeover"})
_DEFLATE_WINDOWS = frozenset({"server_max_window_bits", "client_max_window_bits"})
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
#: Fields that a response may have once (RFC 6455 §4.1, §11.3): browsers refuse a second one, the same or not.
_SINGLE = ("upgrade", "sec-websocket-accept", "sec-websocket-protocol")
#: The fields that `negotiate` reads, of a request and of a response over HTTP/1.
_ASKED = frozenset(
    {
        *(b"upgrade", b"connection", b"sec-websocket-key", b"sec-websocket-version"),
        *(b"sec-websocket-protocol", b"sec-websocket-extensions"),
    }
)
_ANSWERED = frozenset(
    {
        *(b"upgrade", b"connection", b"sec-websocket-accept", b"content-length", b"transfer-encoding"),
        *(b"sec-websocket-protocol", b"sec-websocket-extensions"),
    }
)
_UNESCAPE = re.compile(rb"\\(.)", re.DOTALL)


def accept_key(key: bytes) -> bytes:
    """The Sec-WebSocket-Accept that answers a Sec-WebSocket-Key (RFC 6455 §4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())


_SAMPLE_KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
_SAMPLE_ACCEPT = accept_key(_SAMPLE_KEY)


def is_valid_key(key: bytes) -> bool:
    """Whether a Sec-WebSocket-Key is 16 bytes in base64 (RFC 6455 §4.1)."""
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        return False


class Extension(NamedTuple):
    """A member of Sec-WebSocket-Extensions: name in lower case, parameters in order, None without a value."""

    name: str
    params: tuple[tuple[str, str | None], ...] = ()

    def __str__(self) -> str:
        return "; ".join([self.name, *(_param(name, value) for name, value in self.params)])


def parse_extensions(value: bytes | Iterable[bytes]) -> list[Extension]:
    """The extensions of one field value or of several, in order (RFC 6455 §9.1)."""
    values = [value] if isinstance(value, bytes) else value
    return [_extension(element) for one in values for element in split_list(one)]


def deflate_params(extension: Extension) -> DeflateParams:
    """What a server's permessage-deflate answer means for a decoder (RFC 7692 §7.1).

    A window that is absent or no number from 8 to 15 counts as 15.
    """
    params = dict(extension.params)
    return DeflateParams(
        server_no_context_takeover="server_no_context_takeover" in params,
        client_no_context_takeover="client_no_context_takeover" in params,
        server_max_window_bits=_window(params.get("server_max_window_bits")),
        client_max_window_bits=_window(params.get("client_max_window_bits")),
    )


@dataclass(frozen=True, slots=True)
class Negotiation:
    """What one side of the proxy saw agreed.

    Attributes:
        status: the response's status; None while there is none.
        subprotocols_offered: the client's list, in its order.
        subprotocol: the server's choice.
        extensions_offered: what the client offered.
        extensions: what the server accepted.
        deflate: permessage-deflate's parameters where it was accepted.
        problems: codes of broken rules: `method`, `request-upgrade`, `request-connection`, `key`, `version`
            (request), `upgrade`, `connection`, `accept`, `http10`, `body` (a Content-Length or
            Transfer-Encoding: RFC 9110 §8.6, RFC 9112 §6.1), `subprotocol-not-offered`,
            `extension-not-offered`, `extension-repeated`, `deflate-params`, `repeated` (more than one
            Upgrade, Sec-WebSocket-Accept or Sec-WebSocket-Protocol; 101 response).
    """

    status: int | None = None
    subprotocols_offered: tuple[str, ...] = ()
    subprotocol: str | None = None
    extensions_offered: tuple[Extension, ...] = ()
    extensions: tuple[Extension, ...] = ()
    deflate: DeflateParams | None = None
    problems: tuple[str, ...] = ()

    @property
    def are_extensions_known(self) -> bool:
        """Whether all accepted extensions are ones whose use of the RSV bits we know."""
        return all(extension.name == DEFLATE for extension in self.extensions)


def negotiate(request: RawHead | None, response: RawHead | None) -> Negotiation:
    """What a request and its response agree on; either may be missing or be anything but a handshake."""
    offered = tuple(parse_extensions(request.get_all("sec-websocket-extensions"))) if request else ()
    subprotocols = _texts(request.elements("sec-websocket-protocol")) if request else ()
    problems = _request_problems(request) if request else []
    accepted: tuple[Extension, ...] = ()
    subprotocol: str | None = None
    if response and opens(request, response):
        accepted = tuple(parse_extensions(response.get_all("sec-websocket-extensions")))
        chosen = response.get("sec-websocket-protocol")
        subprotocol = None if chosen is None else chosen.decode("latin-1")
        problems += _response_problems(request, response)
        problems += _choice_problems(request, subprotocols, subprotocol, offered, accepted)
    deflate = next((extension for extension in accepted if extension.name == DEFLATE), None)
    return Negotiation(
        response.status if response else None,
        subprotocols,
        subprotocol,
        offered,
        accepted,
        deflate_params(deflate) if deflate else None,
        tuple(problems),
    )


class Heads(NamedTuple):
    """What two raw heads say.

    Attributes:
        negotiation: what they agree on.
        http_version: the response's, such as `b"HTTP/1.1"`; `b""` without one.
    """

    negotiation: Negotiation
    http_version: bytes


def read_heads(request: bytes | None, response: bytes | None) -> Heads:
    """`negotiate` of heads as they came.

    What many clients send, and what they get, differs in the path, in fields that say nothing about the
    WebSocket, in the key and in what follows from it: the rest is read once.
    """
    asked = RawHead.parse(request) if request else None
    answer = RawHead.parse(response) if response else None
    alike = _without_differences(asked, answer)
    found = _negotiate_once(*alike) if alike else negotiate(asked, answer)
    return Heads(found, answer.http_version if answer else b"")


#: Few, for a head may have 64 KiB and more.
_negotiate_once = lru_cache(maxsize=16)(negotiate)


def _without_differences(
    request: RawHead | None, response: RawHead | None
) -> tuple[RawHead, RawHead | None] | None:
    """Heads that `negotiate` reads as it does these, the same for all keys; None where there are none.

    A server that always sends the answer to one key is why an answer has to fit the key that it came for.
    """
    if request is None or request.is_http2 or not (method := request.method):
        return None
    keys = request.get_all("sec-websocket-key")
    if len(keys) != 1 or not is_valid_key(keys[0]):
        return None
    asked = _reduced(b"%b / HTTP/1.1" % method, request, _ASKED, b"sec-websocket-key", _SAMPLE_KEY)
    if response is None:
        return asked, None
    if response.is_http2:
        return None
    accepts = response.get_all("sec-websocket-accept")
    if accepts and accepts != [accept_key(keys[0])]:
        return None
    name = b"sec-websocket-accept"
    return asked, _reduced(response.start_raw, response, _ANSWERED, name, _SAMPLE_ACCEPT)


def _reduced(start: bytes, head: RawHead, names: frozenset[bytes], known: bytes, sample: bytes) -> RawHead:
    """A head with the fields of these names alone, and a sample for the value of the one that is known."""
    fields = [
        Field(key, sample if key == known else value, b"")
        for name, value, _ in head.fields
        if (key := name.strip().lower()) in names
    ]
    return RawHead(b"", start, tuple(fields), b"")


def opens(request: RawHead | None, response: RawHead) -> bool:
    """Whether a response opens the WebSocket: 101, or over HTTP/2 any 2xx (RFC 8441 section 5)."""
    if not response.is_http2:
        return response.status == 101
    is_asked = request is None or request.is_extended_connect or not request.is_http2
    return is_asked and response.status is not None and 200 <= response.status < 300


def _request_problems(request: RawHead) -> list[str]:
    """RFC 6455 §4.2.1, or RFC 8441 section 5: what a server needs to find in the request."""
    if request.is_extended_connect:
        return [] if request.get_all("sec-websocket-version") == [b"13"] else ["version"]
    checks = {
        "method": request.method == b"GET",
        "request-upgrade": "websocket" in request.tokens("upgrade"),
        "request-connection": "upgrade" in request.tokens("connection"),
        "key": [is_valid_key(key) for key in request.get_all("sec-websocket-key")] == [True],
        "version": request.get_all("sec-websocket-version") == [b"13"],
    }
    return [code for code, is_met in checks.items() if not is_met]


def _response_problems(request: RawHead | None, response: RawHead) -> list[str]:
    """RFC 6455 §4.1: what makes a client fail the connection after a 101."""
    if response.is_http2:
        return []
    key = request.get("sec-websocket-key") if request else None
    checks = {
        "upgrade": response.tokens("upgrade") == ["websocket"],
        "connection": "upgrade" in response.tokens("connection"),
        "accept": key is None or response.get("sec-websocket-accept") == accept_key(key),
        "http10": response.http_version != b"HTTP/1.0",
        "body": response.get("content-length") is None and response.get("transfer-encoding") is None,
        "repeated": all(len(response.get_all(name)) <= 1 for name in _SINGLE),
    }
    return [code for code, is_met in checks.items() if not is_met]


def _choice_problems(
    request: RawHead | None,
    subprotocols: tuple[str, ...],
    subprotocol: str | None,
    offered: tuple[Extension, ...],
    accepted: tuple[Extension, ...],
) -> list[str]:
    problems = []
    if request is not None and subprotocol is not None and subprotocol not in subprotocols:
        problems.append("subprotocol-not-offered")
    if request is not None and not {one.name for one in accepted} <= {one.name for one in offered}:
        problems.append("extension-not-offered")
    if sum(one.name == DEFLATE for one in accepted) > 1:  # RFC 7692 §7.1: an answer to one offer
        problems.append("extension-repeated")
    if any(one.name == DEFLATE and not _is_deflate_answer(one) for one in accepted):
        problems.append("deflate-params")
    return problems


def _is_deflate_answer(extension: Extension) -> bool:
    """RFC 7692 §7.1: known parameters, each once, flags without and windows with a value from 8 to 15."""
    names = [name for name, _ in extension.params]
    return len(set(names)) == len(names) and all(
        value is None if name in _DEFLATE_FLAGS else name in _DEFLATE_WINDOWS and _bits(value) is not None
        for name, value in extension.params
    )


def faults_of_offer(values: Iterable[bytes]) -> tuple[str, ...]:
    """What is wrong with an offer in Sec-WebSocket-Extensions, each in a few words.

    A server declines an offer of permessage-deflate with a parameter that is unknown, repeated or has a
    wrong value (RFC 7692 §7.1); names, and values without their quotes, are tokens (RFC 6455 §9.1).

    Args:
        values: of the request's fields.
    """
    found = []
    for one in parse_extensions(values):
        if not _TOKEN.fullmatch(one.name):
            found.append(f"{one.name[:40]!r} is no name of an extension")
            continue
        names = [name for name, _ in one.params]
        found += [f"{name[:40]} is there twice" for name in dict.fromkeys(names) if names.count(name) > 1]
        for name, value in one.params:
            if not _TOKEN.fullmatch(name) or (value is not None and not _TOKEN.fullmatch(value)):
                found.append(f"{_param(name, value)[:60]} breaks the syntax")
            elif one.name == DEFLATE and (fault := _fault_of_param(name, value)):
                found.append(f"{_param(name, value)[:60]} {fault}")
    return tuple(found[:6])


def _fault_of_param(name: str, value: str | None) -> str:
    if name in _DEFLATE_FLAGS:
        return "" if value is None else "takes no value"
    if name not in _DEFLATE_WINDOWS:
        return "is unknown"
    if value is None:
        return "" if name == "client_max_window_bits" else "has no value"
    return "" if _bits(value) is not None else f"is not from {MIN_WINDOW_BITS} to {MAX_WINDOW_BITS}"


def _bits(value: str | None) -> int | None:
    if value is None or not re.fullmatch(r"[1-9][0-9]?", value):
        return None
    bits = int(value)
    return bits if MIN_WINDOW_BITS <= bits <= MAX_WINDOW_BITS else None


def _window(value: str | None) -> int:
    return _bits(value) or MAX_WINDOW_BITS


def _extension(element: bytes) -> Extension:
    name, *params = split_list(element, b";") or [b""]
    return Extension(name.decode("latin-1").lower(), tuple(map(_parse_param, params)))


def _parse_param(param: bytes) -> tuple[str, str | None]:
    name, equals, value = param.partition(b"=")
    text = name.strip(b" \t").decode("latin-1").lower()
    if not equals:
        return text, None
    value = value.strip(b" \t")
    if len(value) >= 2 and value[:1] == value[-1:] == b'"':
        value = _UNESCAPE.sub(rb"\1", value[1:-1])
    return text, value.decode("latin-1")


def _param(name: str, value: str | None) -> str:
    if value is None:
        return name
    if _TOKEN.fullmatch(value):
        return f"{name}={value}"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}="{escaped}"'


def _texts(values: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(value.decode("latin-1") for value in values)
