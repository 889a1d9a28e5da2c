"""What a client and a SOCKS proxy say to each other before the proxy passes bytes on.

SOCKS 5 is RFC 1928, with user and password RFC 1929; SOCKS 4 and 4a are what openssh.com's `socks4.protocol`
and `socks4a.protocol` say. Nothing of it is kept but what the client asked for: names and passwords go.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from wsinspect.text import escape

_CLIENT: Final = 0
_V4, _V5 = 4, 5
_CONNECT: Final = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4
#: Bytes of a version 4 request without its texts; the longest text that is believed.
_V4_BYTES, _MAX_TEXT = 8, 512
#: What a client sends without waiting for the proxy is hardly more than a ClientHello.
_MAX_HELD: Final = 64 * 1024
_OPEN, _PASSWORD, _NONE = 0, 2, 0xFF
_V5_REFUSED: Final = {
    1: "general SOCKS server failure",
    2: "connection not allowed by ruleset",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "TTL expired",
    7: "command not supported",
    8: "address type not supported",
}
_V4_GRANTED: Final = 90
_V4_REFUSED: Final = {
    91: "request rejected or failed",
    92: "the proxy cannot reach identd on the client",
    93: "identd reports another user",
}


class NotSocksError(Exception):
    """It is another protocol, or a part of SOCKS after which no WebSocket comes."""


class SocksRefusedError(Exception):
    """No bytes can be read behind it; the message says what became of the request, and why."""


class Socks:
    """A conversation with a SOCKS proxy, until it passes bytes on.

    Attributes:
        is_done: what `rest` has, and whatever follows, is between the client and its server.
        is_asked: the proxy has taken part in it: it is SOCKS, and not bytes that look like it.
        target: what the client asks for, `host:port`; empty before.
    """

    __slots__ = ("_buffers", "_methods", "_state", "is_asked", "is_done", "target")

    def __init__(self) -> None:
        self._buffers = (bytearray(), bytearray())
        self._methods = b""
        self._state = "greeting"
        self.is_asked = self.is_done = False
        self.target = ""

    def feed(self, side: int, data: bytes) -> None:
        """What a side sent, 0 is the client; in any pieces.

        Raises:
            NotSocksError: it is something else.
            SocksRefusedError: the proxy says no.
        """
        buffer = self._buffers[side]
        buffer += data
        while not self.is_done and self._advance():
            pass
        if not self.is_done and len(buffer) > _MAX_HELD:
            raise NotSocksError

    def rest(self) -> tuple[bytes, bytes]:
        """What both sides sent behind it, so far."""
        client, server = self._buffers
        return bytes(client), bytes(server)

    def _advance(self) -> bool:
        """One message; False where it is not whole yet. A client need not wait for the answer to one."""
        client, server = self._buffers
        if self._state == "greeting":
            return self._greeting(client)
        if self._state == "method":
            return self._method(server)
        if self._state == "password":
            return self._password(client)
        if self._state == "verdict":
            return self._verdict(server)
        if self._state == "request":
            return self._request(client)
        return self._reply4(server) if self._state == "reply4" else self._reply(server)

    def _greeting(self, buffer: bytearray) -> bool:
        if buffer[:1] == bytes((_V4,)):
            return self._request4(buffer)
        if len(buffer) < 2 or len(buffer) < 2 + buffer[1]:
            return False
        self._methods = bytes(buffer[2 : 2 + buffer[1]])
        if not self._methods:
            raise NotSocksError
        del buffer[: 2 + buffer[1]]
        self._state = "method"
        return True

    def _method(self, buffer: bytearray) -> bool:
        if len(buffer) < 2:
            return False
        version, method = buffer[:2]
        if version != _V5 or (method != _NONE and method not in self._methods):
            raise NotSocksError
        self.is_asked = True
        if method == _NONE:
            raise _refused("no acceptable authentication method")
        if method not in (_OPEN, _PASSWORD):  # GSSAPI may encrypt what follows (RFC 1961)
            raise SocksRefusedError(f"through a SOCKS proxy not read: authentication method {method}")
        del buffer[:2]
        self._state = "request" if method == _OPEN else "password"
        return True

    def _password(self, buffer: bytearray) -> bool:
        if len(buffer) < 2 or len(buffer) < 3 + buffer[1]:
            return False
        size = 3 + buffer[1] + buffer[2 + buffer[1]]
        if len(buffer) < size:
            return False
        del buffer[:size]
        self._state = "verdict"
        return True

    def _verdict(self, buffer: bytearray) -> bool:
        if len(buffer) < 2:
            return False
        if buffer[1]:
            raise _refused("user name or password not accepted")
        del buffer[:2]
        self._state = "request"
        return True

    def _request(self, buffer: bytearray) -> bool:
        found = _address(buffer)
        if found is None:
            return False
        if buffer[1] != _CONNECT:
            raise NotSocksError
        self.target, size = found
        del buffer[:size]
        self._state = "reply"
        return True

    def _reply(self, buffer: bytearray) -> bool:
        if len(buffer) < 2:
            return False
        version, code = buffer[:2]
        if version != _V5:
            raise NotSocksError
        if code:  # some proxies send no address behind it
            raise _refused(_V5_REFUSED.get(code, f"reply code {code}"))
        found = _address(buffer)
        if found is None:
            return False
        del buffer[: found[1]]
        self.is_done = True
        return True

    def _request4(self, buffer: bytearray) -> bool:
        if len(buffer) > 1 and buffer[1] != _CONNECT:
            raise NotSocksError
        if len(buffer) < _V4_BYTES:
            return False
        port, raw = int.from_bytes(buffer[2:4], "big"), bytes(buffer[4:8])
        end = _text_end(buffer, _V4_BYTES)
        if end is None:
            return False
        host = str(ipaddress.ip_address(raw))
        if raw[:3] == b"\0\0\0" and raw[3]:  # 4a: a name is behind the user's
            begin, end = end, _text_end(buffer, end)
            if end is None:
                return False
            host = escape(bytes(buffer[begin : end - 1]).decode("latin-1"))
        self.target = f"{host}:{port}"
        del buffer[:end]
        self._state = "reply4"
        return True

    def _reply4(self, buffer: bytearray) -> bool:
        if len(buffer) < _V4_BYTES:
            return False
        version, code = buffer[:2]
        if version not in (0, _V4) or code not in (_V4_GRANTED, *_V4_REFUSED):
            raise NotSocksError
        self.is_asked = True
        if code != _V4_GRANTED:
            raise _refused(_V4_REFUSED[code])
        del buffer[:_V4_BYTES]
        self.is_done = True
        return True


def may_be_socks(start: bytes) -> bool:
    """Whether a client's first bytes may be those of SOCKS: 5 and methods, or 4 and CONNECT."""
    return start[:1] == bytes((_V5,)) or (start[:1] == bytes((_V4,)) and start[1:2] in (b"", b"\1"))


def _refused(why: str) -> SocksRefusedError:
    return SocksRefusedError(f"refused by a SOCKS proxy: {why}")


def _address(buffer: bytearray) -> tuple[str, int] | None:
    """Host and port of a request or a reply of version 5, and how many bytes it has; None while it is not
    whole.

    Raises:
        NotSocksError: it is neither.
    """
    if buffer and buffer[0] != _V5:
        raise NotSocksError
    if len(buffer) < 5:
        return None
    kind = buffer[3]
    begin, size = {_IPV4: (4, 4), _IPV6: (4, 16), _NAME: (5, buffer[4])}.get(kind, (0, 0))
    if not begin:
        raise NotSocksError
    end = begin + size
    if len(buffer) < end + 2:
        return None
    raw = bytes(buffer[begin:end])
    if kind == _NAME:
        host = escape(raw.decode("latin-1"))
    else:
        host = f"[{ipaddress.ip_address(raw)}]" if kind == _IPV6 else str(ipaddress.ip_address(raw))
    return f"{host}:{int.from_bytes(buffer[end : end + 2], 'big')}", end + 2


def _text_end(buffer: bytearray, begin: int) -> int | None:
    """The place behind a text's NUL; None while it is not there."""
    end = buffer.find(b"\0", begin, begin + _MAX_TEXT)
    if end < 0 and len(buffer) >= begin + _MAX_TEXT:
        raise NotSocksError
    return end + 1 if end >= 0 else None
