"""Causes of an attempt that nothing answered but the end of TCP."""

from __future__ import annotations

from typing import Final

#: Why nothing but an end of TCP comes back: whoever does it, it looks the same.
HUNG_UP_PAIRS: Final = (
    (
        "the server's program crashed, was killed, or gave up while it handled the request",
        "its log has an error at this moment",
    ),
    (
        "a proxy or firewall in the server's place dropped the request by a rule: ModSecurity's drop, nginx's"
        " return 444",
        "another path, User-Agent or address is answered; the firewall's log has it, the application's not",
    ),
    (
        "what listens here expects something else first: another protocol, TLS, or a PROXY protocol header",
        "an ordinary GET gets no answer either",
    ),
)
UNKNOWN_SUBPROTOCOL: Final = (
    "the server knows none of the offered subprotocols and hangs up (libwebsockets does)",
    "the same handshake without Sec-WebSocket-Protocol, or with one that the server has: is it 101?",
)
NOBODYS: Final = (
    "no WebSocket server takes this path: Socket.IO hangs up on an upgrade that is not for its own path",
    "compare the path with the server's (path: '/socket.io/'), slash included",
)
WAITED: Final = (
    "the application's connect handler neither accepts nor refuses, and its server gave up waiting",
    "what the handler waits for (a database, Redis, a lock); the server's own limit, set to another number",
)
