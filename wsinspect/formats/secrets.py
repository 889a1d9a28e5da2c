"""What in a handshake is a secret, and masking it.

Secrets are cookies, credentials in header fields, tokens that stand for a subprotocol, and query parameters
whose names say so. Names stay, values become `***`, so that one still sees what was there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from wsinspect.handshake.heads import RawHead

MASK: Final = "***"
#: Characters of a secret that is looked for in other text.
_LEAST: Final = 6
_MASK: Final = MASK.encode()
_COOKIES: Final = frozenset({b"cookie", b"set-cookie"})
_CREDENTIALS: Final = frozenset({b"authorization", b"proxy-authorization"})
_HINT: Final = (
    r"token|secret|passw|passphrase|credential|session|jwt|signature"
    r"|api[-_]?key|access[-_]?key|private[-_]?key"
)
_SECRET_FIELD: Final = re.compile(rf"(?i)auth|csrf|xsrf|{_HINT}".encode())
_SECRET_NAME: Final = re.compile(rf"(?i)^(?:key|sig|sid|code|auth|pwd|pass)$|authorization|{_HINT}")
#: Handshake fields whose names look like secrets but are not.
_PLAIN: Final = frozenset({b"sec-websocket-key", b"www-authenticate", b"proxy-authenticate", b":authority"})
_SUBPROTOCOL: Final = b"sec-websocket-protocol"
#: A JSON Web Token, or anything long enough after a word that announces one.
_TOKEN: Final = re.compile(
    rb"(?i)eyJ[\w-]{8,}[\w.-]*|(?<=bearer\.)[^,\s]{8,}|(?<=k8s\.io\.)[^,\s]{8,}|[\w+/=.-]{40,}"
)
_URL: Final = re.compile(r"\b(?:wss?|https?)://[^\s\"'<>]+")
_URL_KEYS: Final = ("path", "url", "target", "path_and_query")


def is_secret_field(name: bytes) -> bool:
    """Whether a header field carries a secret, judged by its name."""
    key = name.strip().lower()
    if key in _PLAIN:
        return False
    return key in _COOKIES or key in _CREDENTIALS or _SECRET_FIELD.search(key) is not None


def has_secret(name: bytes, value: bytes) -> bool:
    """Whether a header field carries a secret."""
    return is_secret_field(name) or (
        name.strip().lower() == _SUBPROTOCOL and _TOKEN.search(value) is not None
    )


def mask_value(name: bytes, value: bytes) -> bytes:
    """The value of a header field without its secrets."""
    key = name.strip().lower()
    if key == _SUBPROTOCOL:
        return _TOKEN.sub(_MASK, value)
    if not is_secret_field(name):
        return mask_target(value) if key in (b"referer", b"location", b"origin", b":path") else value
    if key == b"cookie":
        return b"; ".join(_mask_pair(part) for part in value.split(b";"))
    if key == b"set-cookie":
        pair, semicolon, attributes = value.partition(b";")
        return _mask_pair(pair) + semicolon + attributes
    scheme, space, _ = value.partition(b" ")
    return scheme + b" " + _MASK if key in _CREDENTIALS and space else _MASK


def mask_head(raw: bytes) -> bytes:
    """A head without its secrets; a head that has none comes back byte for byte."""
    head = RawHead.parse(raw)
    start = None if head.is_http2 else head.start_line
    if start is not None and not head.is_response:
        parts = start.split(b" ")
        start = b" ".join([*parts[:1], *map(mask_target, parts[1:])])
    fields = [(field.name, mask_value(field.name, field.value)) for field in head.fields if field.name]
    return head.rebuild(start, fields).raw + head.rest


def secret_values(head: RawHead) -> frozenset[str]:
    """The secrets of a request, to find them where somebody quotes them; short ones are words, too."""
    found: set[str] = set()
    for field in head.fields:
        key, value = (field.name or b"").strip().lower(), field.value
        if key == _SUBPROTOCOL:
            found.update(one.decode("latin-1") for one in _TOKEN.findall(value))
        elif key in _COOKIES:
            found.update(part.partition(b"=")[2].strip().decode("latin-1") for part in value.split(b";"))
        elif is_secret_field(key):
            scheme, space, rest = value.partition(b" ")
            found.add((rest if key in _CREDENTIALS and space else scheme + space + rest).decode("latin-1"))
    query = head.target.decode("latin-1").partition("?")[2]
    found.update(one.partition("=")[2] for one in query.split("&") if _mask_parameter(one) != one)
    return frozenset(one for one in found if len(one) >= _LEAST)


def mask_line(text: str, values: frozenset[str]) -> str:
    """A sentence, or a header field that is quoted, without these secrets, its own, and those of URLs."""
    name, colon, value = text.partition(": ")
    if colon and re.fullmatch(r"[\w-]+", name, re.ASCII):
        masked = mask_value(name.encode(), value.encode("utf-8", "surrogateescape"))
        text = f"{name}: {masked.decode('utf-8', 'surrogateescape')}"
    return mask_quotes(_URL.sub(lambda match: mask_url(match[0]), text), values)


def mask_quotes(text: str, values: frozenset[str]) -> str:
    """Any text without these secrets, where each stands as a word of its own."""
    for one in sorted(values, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(one)}(?!\w)", MASK, text)
    return text


def mask_url(url: str) -> str:
    """A URL, or a path with its query, without user, password and secret parameters."""
    return mask_target(url.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def mask_target(target: bytes) -> bytes:
    """The same for the bytes of a request target."""
    text = target.decode("latin-1")
    text = re.sub(r"^([a-zA-Z][\w+.-]*://)[^/?#@\s]*@", rf"\1{MASK}@", text)
    path, question, rest = text.partition("?")
    if question:
        query, hash_, fragment = rest.partition("#")
        text = path + "?" + "&".join(map(_mask_parameter, query.split("&"))) + hash_ + fragment
    return text.encode("latin-1")


def mask_json(value: Any) -> Any:
    """The detail of an event, or a value of `meta`, without secrets in its URLs and paths."""
    if isinstance(value, str):
        return _URL.sub(lambda match: mask_url(match[0]), value)
    if isinstance(value, list):
        return [mask_json(item) for item in value]
    if isinstance(value, Mapping):
        if isinstance(name := value.get("name"), str) and isinstance(text := value.get("value"), str):
            # A header field, a cookie or a parameter of a HAR entry.
            masked = mask_value(name.encode("utf-8", "replace"), text.encode("utf-8", "surrogatepass"))
            is_secret = _SECRET_NAME.search(name) is not None
            return {**value, "value": MASK if is_secret else masked.decode("utf-8", "surrogatepass")}
        return {
            key: mask_url(item)
            if key in _URL_KEYS and isinstance(item, str)
            else [_mask_cookie(one) for one in item]
            if key == "cookies" and isinstance(item, list)
            else mask_json(item)
            for key, item in value.items()
        }
    return value


def _mask_cookie(one: Any) -> Any:
    """A cookie of a HAR entry, whatever its name."""
    return {**one, "value": MASK} if isinstance(one, Mapping) and "value" in one else mask_json(one)


def _mask_pair(pair: bytes) -> bytes:
    name, equals, _ = pair.strip().partition(b"=")
    return name + equals + _MASK if equals else _MASK


def _mask_parameter(parameter: str) -> str:
    name, equals, value = parameter.partition("=")
    is_secret = _SECRET_NAME.search(name) or (value.startswith("eyJ") and len(value) > 16)
    return f"{name}={MASK}" if equals and value and is_secret else parameter
