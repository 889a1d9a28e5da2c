"""Why a TCP connection was not made, from the words of its error: refused, not answered, no way there.

The words are those of the system (`strerror`), of Node.js (`ECONNREFUSED`) and of browsers
(`net::ERR_CONNECTION_REFUSED`, `NS_ERROR_NET_TIMEOUT`).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from wsinspect.findings.evidence import seconds
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.model import Cause, FaultOf


class Unreached(NamedTuple):
    """What was seen of a TCP connection that was not made.

    Attributes:
        words: pattern of the errors that say so.
        title: with OWNER for who has the address, and WITHIN for how long was waited.
        meaning: one sentence.
        topic: of the fixes.
        console: Chrome's name of the error, without `net::ERR_`.
    """

    words: str
    title: str
    meaning: str
    topic: str
    fault_of: FaultOf
    console: str
    causes: tuple[Cause, ...] = ()

    def titled(self, facts: ConnectionFacts, owner: str) -> str:
        """The title about this connection.

        Args:
            owner: `server` or `hop`.
        """
        return self.title.replace("OWNER", owner).replace("WITHIN", _within(facts))


_FIREWALL_HERE: Final = Cause(
    "a firewall or security module on this machine forbids the connection",
    "its rules for outgoing connections (`nft list ruleset`), or the sandbox or container it runs in",
)
#: The first that fits counts: of several addresses one that refused has answered.
_KINDS: Final = (
    Unreached(
        r"refused",
        "Nothing accepts connections at the OWNER's address",
        "The TCP connection was refused: no program listens on that port, or a firewall answers for it.",
        "connect",
        "server",
        "CONNECTION_REFUSED",
    ),
    Unreached(
        r"reset",
        "The OWNER resets connections as soon as they are open",
        "Something listens there, and ends each connection before anything was sent.",
        "connect-reset",
        "server",
        "CONNECTION_RESET",
    ),
    Unreached(
        r"timed?[ _-]?out|did not answer",
        "The OWNER's address did not answer WITHIN",
        "Nothing answered the TCP connection, not even a refusal.",
        "connect-timeout",
        "network",
        "CONNECTION_TIMED_OUT",
        (
            Cause(
                "a firewall or security group on the way drops the packets",
                "it connects at once from a machine in the same network as the address",
            ),
            Cause("the address is wrong, or its machine is down", "no other port there answers either"),
        ),
    ),
    Unreached(
        r"unreach|no route|internet[ _]disconnected|network is down|host is down",
        "There is no route to the OWNER's address",
        "This machine's network, or a router on the way, does not know how to get there.",
        "connect-route",
        "network",
        "ADDRESS_UNREACHABLE",
        (
            Cause(
                "this machine has no network there: it is offline, a VPN is not connected, or it has no IPv6",
                "`ip route get ADDRESS` fails",
            ),
            Cause(
                "the machine with that address is down, or a firewall answers for it",
                "other addresses in the same network answer, or another port of this one does",
            ),
        ),
    ),
    Unreached(
        r"operation not permitted|EPERM",
        "This machine does not let the connection to the OWNER's address out",
        "The system here refused to open the TCP connection, and nothing was sent.",
        "connect-here",
        "network",
        "ACCESS_DENIED",
        (_FIREWALL_HERE,),
    ),
    Unreached(
        r"permission denied|EACCES|network[ _]access[ _]denied",
        "This machine does not let the connection to the OWNER's address out",
        "The system here refused to open the TCP connection, and nothing was sent.",
        "connect-here",
        "network",
        "NETWORK_ACCESS_DENIED",
        (_FIREWALL_HERE,),
    ),
)
#: Of anything else only the error itself is known.
_OTHER: Final = Unreached(
    "",
    "The TCP connection to the OWNER's address failed",
    "The TCP connection could not be made, for the reason in the error.",
    "connect",
    "network",
    "CONNECTION_FAILED",
)
_NO_NAME: Final = re.compile(
    r"name or service|nodename|getaddrinfo|no address associated|name resolution|ERR_NAME_|unknown_host"
    r"|ENOTFOUND|EAI_AGAIN",
    re.IGNORECASE,
)
_AFTER: Final = re.compile(r"(?:after|within|in) (\d[\d.,]* ?(?:ms|s|min|seconds?|minutes?))\b")


def is_nameless(error: str) -> bool:
    """Whether an error says that there is no address for a name."""
    return _NO_NAME.search(error) is not None


def unreached(error: str) -> Unreached:
    """What an error of connecting says was seen; for errors about names see `is_nameless`."""
    return next((one for one in _KINDS if re.search(one.words, error, re.IGNORECASE)), _OTHER)


def _within(facts: ConnectionFacts) -> str:
    """How long an answer was waited for: in the error's words, else by the clock."""
    said = _AFTER.search(facts.error or "")
    if said is not None:
        return f"within {said[1]}"
    begun, end = facts.times.get("server_tcp_start_ns"), facts.end_ns
    return "in time" if begun is None or end is None or end <= begun else f"within {seconds(end - begun)}"
