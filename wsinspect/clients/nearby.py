"""Which plain requests of a client belong near its attempts: what a page, a token's endpoint or a polling
transport said just before is half of every diagnosis.

Sans-I/O: the clock is an argument. A request is recorded with the attempt that follows it within
`BEFORE_SECONDS`, and with the one that it follows within `AFTER_SECONDS`; with a client that tries again and
again it may be both. Bounded: requests of an attempt, and clients.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from wsinspect.decoders.engineio import is_polling_path
from wsinspect.vocabulary.events import HttpRequest

BEFORE_SECONDS: Final = 30
AFTER_SECONDS: Final = 10
#: At most so many requests are recorded with one attempt, before it and after it.
MOST_BEFORE: Final = 20
MOST_AFTER: Final = 20
#: The client that was quiet longest is forgotten first.
MAX_CLIENTS: Final = 512
#: Longer URLs are cut.
MAX_URL: Final = 2000
_SECOND_NS: Final = 10**9
#: Of `Sec-Fetch-Dest` (Fetch, section 2.2.7): what is drawn, played or run.
_ASSETS: Final = frozenset(
    ("audio", "font", "image", "manifest", "script", "style", "track", "video", "worker", "sharedworker")
)
_ASSET_ENDINGS: Final = (
    ".css",
    ".gif",
    ".ico",
    ".jpg",
    ".js",
    ".map",
    ".mjs",
    ".png",
    ".svg",
    ".woff",
    ".woff2",
)
_FAILED: Final = 400
_DOCUMENTS: Final = ("document", "iframe")
_NEGOTIATE: Final = "/negotiate"
_AGENT_CHARACTERS: Final = 300
_TYPE_CHARACTERS: Final = 100
_LENGTH_DIGITS: Final = 15
Header = Callable[[str], str | None]


class Asked(NamedTuple):
    """A request that has its answer, or failed.

    Attributes:
        began_ns: when its header block was there.
        event: what is recorded of it.
    """

    began_ns: int
    event: HttpRequest


@dataclass(slots=True)
class _Client:
    asked: deque[Asked] = field(default_factory=lambda: deque(maxlen=MOST_BEFORE))
    attempt: int = 0
    attempt_ns: int = 0
    after: int = 0


class Nearby:
    """The clients of an engine, each with its last requests and its last attempt."""

    def __init__(self) -> None:
        self._clients: OrderedDict[Hashable, _Client] = OrderedDict()

    def attempt(self, who: Hashable, number: int, now_ns: int) -> list[Asked]:
        """A client asks for a WebSocket.

        Returns:
            What it asked for just before, oldest first, to be recorded with this attempt.
        """
        client = self._client(who)
        client.attempt, client.attempt_ns, client.after = number, now_ns, 0
        since_ns = now_ns - BEFORE_SECONDS * _SECOND_NS
        return [one for one in client.asked if one.began_ns >= since_ns]

    def asked(self, who: Hashable, one: Asked, now_ns: int) -> int | None:
        """A client got the answer to a request.

        Returns:
            The attempt just before, to record it with; None if there was none.
        """
        client = self._client(who)
        client.asked.append(one)
        if not client.attempt or now_ns - client.attempt_ns > AFTER_SECONDS * _SECOND_NS:
            return None
        client.after += 1
        return client.attempt if client.after <= MOST_AFTER else None

    def _client(self, who: Hashable) -> _Client:
        client = self._clients.get(who)
        if client is None:
            client = self._clients[who] = _Client()
            if len(self._clients) > MAX_CLIENTS:
                self._clients.popitem(last=False)
        else:
            self._clients.move_to_end(who)
        return client


# -- what a request is; `header` gives the value of a request's, or a response's, field of that name


def counts(method: str, path: str, header: Header, status: int | None, *, is_asset: bool = False) -> bool:
    """Whether a request is recorded: what a page is drawn with does so only where it failed.

    Args:
        is_asset: known to be such a thing.
    """
    is_fine = status is not None and status < _FAILED
    return not is_fine or not (is_asset or _is_asset(method, path, header))


def _is_asset(method: str, path: str, header: Header) -> bool:
    wanted = header("sec-fetch-dest")
    if wanted is not None:
        return wanted in _ASSETS
    return method == "GET" and path.partition("?")[0].lower().endswith(_ASSET_ENDINGS)


def what_for(method: str, path: str, header: Header) -> str | None:
    """`page`, `polling`, `negotiation` or `preflight`, where it is plain that a request is one of these."""
    if method == "OPTIONS" and header("access-control-request-method") is not None:
        return "preflight"
    if is_polling_path(path):
        return "polling"
    if method == "POST" and path.partition("?")[0].endswith(_NEGOTIATE):
        return "negotiation"
    wanted = header("sec-fetch-dest")
    if wanted in _DOCUMENTS or (
        wanted is None and method == "GET" and "text/html" in (header("accept") or "")
    ):
        return "page"
    return None


def whose(address: str, header: Header) -> str:
    """What a client's requests have in common: the address; of browsers, of which there may be several, the
    `User-Agent`, too. Other clients have a library for HTTP and another one for WebSockets."""
    agent = header("user-agent") or ""
    return f"{address} {agent[:_AGENT_CHARACTERS]}" if agent.startswith("Mozilla/") else address


def body_length(header: Header) -> int | None:
    """Bytes of a body by its `Content-Length`."""
    text = header("content-length") or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LENGTH_DIGITS else None


def media_type(header: Header) -> str | None:
    """A body's type by its `Content-Type`, without parameters."""
    return (header("content-type") or "").partition(";")[0].strip()[:_TYPE_CHARACTERS] or None
