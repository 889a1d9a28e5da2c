"""What a line names: a URL, a server behind, a path, a status, a close code, a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from wsinspect.explain.reading import Line
from wsinspect.net import WS_SCHEMES

_URL: Final = re.compile(r"\b(wss?|https?)://[^\s'\"<>`\\^|{}\x00-\x20\u2018-\u201d]{1,2000}", re.I)
#: Punctuation after a URL in a sentence, which is not part of it.
_BEHIND: Final = ".,;:!?)]}'\"…"
_REQUEST: Final = re.compile(r"\b(?:GET|HEAD|POST|CONNECT) (?P<path>/\S{0,2000})(?: HTTP/[\d.]+)?")
#: nginx's error.log names both: `upstream: "http://127.0.0.1:3000/ws", host: "app.example.org"`.
_NGINX: Final = re.compile(r'\b(upstream|host): "([^"]{1,500})"')
_HOST: Final = re.compile(r"[A-Za-z0-9.\-_]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]")
_STATUS: Final = re.compile(r"[1-5]\d\d")
#: How lines write a time; a time without a zone is local.
_TIMES: Final = tuple(
    (re.compile(shape), form)
    for shape, form in (
        # 2026-11-29T14:31:41.123Z, 2026-11-29 14:31:41,123 and with an offset
        (
            r"\b(?P<when>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:[.,]\d{1,9})?\s?(?P<zone>Z|[+-]\d\d:?\d\d)?",
            "%Y-%m-%d %H:%M:%S",
        ),
        (r"\b(?P<when>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d)", "%Y/%m/%d %H:%M:%S"),  # nginx
        (
            r"\[(?P<when>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d)(?:\.\d{1,6})?(?: (?P<zone>[+-]\d{4}))?\]",
            "%d/%b/%Y:%H:%M:%S",
        ),
        # Apache's error log
        (
            r"\[[A-Z][a-z]{2} (?P<when>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d)\.\d{1,6} (?P<year>\d{4})\]",
            "%b %d %H:%M:%S",
        ),
    )
)
#: Fields of JSON logs (Caddy, Traefik, Envoy, and what many log libraries write).
_FIELDS: Final = {
    "host": ("request.host", "RequestHost", "authority", ":authority", "host"),
    "path": ("request.uri", "RequestPath", "path", "uri", "url"),
    "status": ("status", "DownstreamStatus", "response_code", "statusCode", "status_code"),
    "upstream": ("upstream", "ServiceURL", "upstream_host", "upstream_addr"),
    "time": ("ts", "time", "StartUTC", "start_time", "timestamp", "@timestamp"),
}


class Places(NamedTuple):
    """What is known of the connection; None where the line does not say.

    Attributes:
        url: the `ws:`, `wss:`, `http:` or `https:` URL that a client uses.
        host: with its port where one is given.
        upstream: the server behind a proxy, as `host:port` or URL.
        time_ns: epoch.
    """

    url: str | None = None
    host: str | None = None
    path: str | None = None
    status: int | None = None
    code: int | None = None
    upstream: str | None = None
    time_ns: int | None = None

    def or_else(self, other: Places) -> Places:
        """What this one does not know, from the other."""
        unknown = {name: value for name, value in other._asdict().items() if getattr(self, name) is None}
        return self._replace(**unknown)

    @property
    def target(self) -> str | None:
        """What `wsinspect doctor` is to be asked about; None where the line names no server."""
        if self.url is not None:
            return _as_websocket(self.url)
        if self.host is not None:
            return self.host + (self.path or "")
        if self.upstream is not None and "://" not in self.upstream:
            return self.upstream + (self.path or "")
        return _as_websocket(self.upstream) if self.upstream is not None else None

    @property
    def direct(self) -> str | None:
        """The server behind, where the line names both."""
        if self.upstream is None or (self.url is None and self.host is None):
            return None
        return self.upstream if "://" in self.upstream else f"http://{self.upstream}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names of the servers, without their ports."""
        texts = [self.url and netloc_of(self.url), self.host, self.upstream]
        return tuple(dict.fromkeys(name for text in texts if text and (name := _bare(text))))

    @property
    def request_path(self) -> str | None:
        """The path without its query."""
        path = self.path
        if path is None and self.url is not None:
            path = _split(self.url)[1]
        return None if path is None else path.partition("?")[0] or "/"


def read_places(line: Line, groups: Mapping[str, str]) -> Places:
    """What a line says.

    Args:
        groups: what its pattern took out of it; they are believed first.
    """
    urls = _urls(line.text)
    named = dict(_NGINX.findall(line.text))
    upstream = groups.get("upstream") or named.get("upstream") or _field(line, "upstream")
    url = groups.get("url") or next((one for one in urls if upstream is None or one != upstream), None)
    host = groups.get("host") or named.get("host") or _field(line, "host")
    if host and groups.get("port"):
        host = f"[{host}]:{groups['port']}" if ":" in host and host[0] != "[" else f"{host}:{groups['port']}"
    request = _REQUEST.search(line.text)
    path = groups.get("path") or _field(line, "path") or (request["path"] if request else None)
    return Places(
        url=_clean_url(url) if url else None,
        host=host if host and _is_address(host) else None,
        path=path if path and path.startswith("/") else None,
        status=_number(groups.get("status") or _field(line, "status"), 100, 599),
        code=_number(groups.get("code"), 1000, 4999),
        upstream=_clean_url(upstream) if upstream and _is_server(upstream) else None,
        time_ns=_time_ns(line),
    )


def best(places: Iterable[Places]) -> Places:
    """What several lines say together: the first that knows it."""
    whole = Places()
    for one in places:
        whole = whole.or_else(one)
    return whole


def netloc_of(url: str) -> str:
    """Host and port of a URL; "" where it has none."""
    return _split(url)[0]


def _split(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
        return parts.netloc.rpartition("@")[2], parts.path or "/"
    except ValueError:
        return "", "/"


def _urls(text: str) -> list[str]:
    return [match[0] for match in _URL.finditer(text)][:20]


def _clean_url(url: str) -> str:
    return url.rstrip(_BEHIND)


def _as_websocket(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{WS_SCHEMES.get(scheme.lower(), scheme)}://{rest}"


def _field(line: Line, name: str) -> str | None:
    return next((line.fields[one] for one in _FIELDS[name] if one in line.fields), None)


def _bare(text: str) -> str:
    """A host without its port, in lower case."""
    text = netloc_of(text) if "://" in text else text
    match = _HOST.match(text)
    name = (match[0] if match else "").strip("[]").lower()
    return "localhost" if name in ("127.0.0.1", "::1") else name


def _is_address(text: str) -> bool:
    match = _HOST.match(text)
    rest = text[match.end() :] if match else "?"
    return match is not None and (not rest or re.fullmatch(r":\d{1,5}", rest) is not None)


def _is_server(text: str) -> bool:
    return _URL.fullmatch(text) is not None or _is_address(text)


def _number(text: str | None, least: int, most: int) -> int | None:
    if text is None or not re.fullmatch(r"\d{3,4}", text):
        return None
    return int(text) if least <= int(text) <= most else None


def _time_ns(line: Line) -> int | None:
    """The time that a line begins with; one without a zone is this machine's."""
    stamp = _field(line, "time")
    if stamp is not None:
        try:
            seconds = float(stamp)
        except ValueError:
            pass
        else:
            return int(seconds * 1e9) if 1e9 < seconds < 4e9 else None
    for shape, form in _TIMES:
        if (match := shape.search((stamp or line.text)[:200])) is None:
            continue
        parts: dict[str, str | None] = match.groupdict()
        zone = parts.get("zone")
        text = " ".join(filter(None, (match["when"].replace("T", " ", 1), parts.get("year"))))
        shaped = f"{form} %Y" if parts.get("year") else form
        try:
            if zone:
                offset = "+0000" if zone == "Z" else zone.replace(":", "")
                return int(datetime.strptime(text + offset, f"{shaped}%z").timestamp() * 1e9)
            return int(datetime.strptime(text, shaped).timestamp() * 1e9)
        except (ValueError, OverflowError, OSError):
            return None
    return None
