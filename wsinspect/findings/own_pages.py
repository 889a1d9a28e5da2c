"""Pages that a hop puts in the place of a server's answer: by what they are known, and what to say where
nothing in the answer tells them apart.

An error page has the status that its configuration gives it, and nothing in it says what it stands for. So
one tap names the hop only where the answer itself shows that a file of the hop's was served.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from wsinspect.findings.evidence import answer_hop, answer_marks
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.software import NAMES, author_of
from wsinspect.handshake.heads import RawHead
from wsinspect.units import whole_number

_HTML: Final = re.compile(r"text/html|application/xhtml", re.I)
#: Evidence: nothing in this answer had to come from an application. A configuration may say more.
BARE: Final = "no header in it that a proxy does not write by itself"
#: What servers of files write; an application's framework does as well.
_OF_FILES: Final = frozenset(
    (
        *(b"date", b"server", b"connection", b"content-length", b"transfer-encoding", b"keep-alive", b"via"),
        *(b"content-type", b"last-modified", b"etag", b"accept-ranges", b"alt-svc", b"vary"),
        *(b"strict-transport-security", b"x-request-id", b"retry-after", b"content-encoding"),
    )
)
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
#: No entity tag is as long as this, and an int of thousands of digits must not be made of one.
_LONGEST_TAG: Final = 64


class ServedFile(NamedTuple):
    """A file that a proxy itself answered with, and the line that shows it."""

    software: str
    evidence: str


def is_page(facts: ConnectionFacts) -> bool:
    """Whether the body of an answer is HTML: it says so, or says nothing and begins as HTML does."""
    head = facts.response_in
    if head is None or head.get("content-type") is None:
        return facts.wording.lstrip()[:1] == b"<"
    return _HTML.search(facts.response_line("Content-Type")) is not None


def is_bare(facts: ConnectionFacts) -> bool:
    """Whether an answer has no field but those that a proxy writes of its own, too."""
    head = facts.response_in
    return head is not None and all(one.name.lower() in _OF_FILES for one in head.fields)


def served_file(facts: ConnectionFacts) -> ServedFile | None:
    """The proxy that answered with a file, by the entity tag that each of them makes in a way of its own.

    Each has the file's time in it, which `Last-Modified` has as well; no framework's tag fits by chance.
    """
    head = facts.response_in
    if head is None:
        return None
    tag, modified = _text(head, "etag").removeprefix("W/").strip('"'), _seconds(_text(head, "last-modified"))
    server = _text(head, "server").lower()
    found = next((one for one in _TAGS if server.startswith(one)), None)
    if found is None or modified is None or not tag or len(tag) > _LONGEST_TAG:
        return None
    software, fits = _TAGS[found]
    if not fits(tag, modified, _text(head, "content-length")):
        return None
    return ServedFile(software, f"{facts.response_line('ETag')}: {NAMES[software]} makes it of a file's time")


def covering(facts: ConnectionFacts) -> tuple[tuple[str, str], ...]:
    """The cause that a proxy on the way may have put a page of its own in the place of this refusal's."""
    author = author_of(answer_marks(facts))
    hop = answer_hop(facts)
    if hop is None or facts.status is None or facts.status < 400 or not is_page(facts):
        return ()
    if author is not None:
        if author.software != "apache" or facts.status not in (401, 403, 404, 410, 500):
            return ()
        return (("the server answered so, and ProxyErrorOverride puts Apache's page in its place", _TELL),)
    return ((f"{hop} puts a page of its own in the place of the server's answer ({_setting(hop)})", _TELL),)


def own_page_cause(hop: str | None) -> tuple[str, str]:
    """The cause of a page with 2xx that a hop answers with in the place of an error."""
    return (
        f"{hop or 'a hop'} answers so in the place of a server's refusal or failure ({_setting(hop)})",
        _TELL,
    )


def _setting(hop: str | None) -> str:
    """What a hop, as findings name it, calls a page of its own."""
    software = next((key for key, name in NAMES.items() if name == hop), "")
    return _PAGES.get(software, "an error page")


_TELL: Final = "connect to the application directly"
_PAGES: Final = {
    "nginx": "error_page",
    "apache": "ErrorDocument with ProxyErrorOverride",
    "haproxy": "errorfile or http-response return",
    "caddy": "handle_response or handle_errors",
    "envoy": "local_reply_config or a custom response",
}


def _text(head: RawHead, name: str) -> str:
    return (head.get(name) or b"").decode("latin-1")


def _seconds(date: str) -> int | None:
    try:
        moment = datetime.strptime(date, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
        return int(moment.timestamp())
    except (ValueError, OverflowError, OSError):
        return None


def _of_nginx(tag: str, modified: int, _size: str) -> bool:
    """`68f0a1b2-264`: the time, then the size (ngx_http_set_etag)."""
    match = re.fullmatch(r"([0-9a-f]+)-[0-9a-f]+", tag)
    return match is not None and int(match[1], 16) == modified


def _of_apache(tag: str, modified: int, _size: str) -> bool:
    """`264-63f1c2a4b5d00`: the size, then the time in microseconds (ap_make_etag)."""
    match = re.fullmatch(r"[0-9a-f]+-([0-9a-f]+)(-gzip|;gzip)?", tag)
    return match is not None and int(match[1], 16) // 1_000_000 == modified


def _of_caddy(tag: str, modified: int, size: str) -> bool:
    """The time, in seconds or nanoseconds, and the size, both to the base 36 (fileserver's calculateEtag)."""
    number = whole_number(size, 15)
    end = "" if number is None else _to_base_36(number)
    match = re.fullmatch(r"[0-9a-z]+", tag)
    if match is None or not end or not tag.endswith(end) or tag == end:
        return False
    return modified in ((time := int(tag[: -len(end)], 36)), time // 1_000_000_000)


def _to_base_36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text or "0"


#: How `Server` begins, the software, and whether an entity tag is one of its own.
_TAGS: Final[dict[str, tuple[str, Callable[[str, int, str], bool]]]] = {
    "nginx": ("nginx", _of_nginx),
    "openresty": ("nginx", _of_nginx),
    "tengine": ("nginx", _of_nginx),
    "apache": ("apache", _of_apache),
    "caddy": ("caddy", _of_caddy),
}
