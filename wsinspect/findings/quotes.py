"""What an answer says in its own words: the sentence that matters, without tags; and what answers are
that are not HTTP."""

from __future__ import annotations

import html
import json
import re
from typing import Any, Final

#: Most characters of a quote.
_LONGEST: Final = 200
_READ: Final = 32 * 1024
#: How far a sentence is searched for words that matter, and how many sentences are: what comes later is not
#: quoted, and a page without line breaks must not cost milliseconds.
_SEARCHED: Final = 2 * _LONGEST
_SENTENCES: Final = 100
_INVISIBLE: Final = re.compile(
    r"<(script|style|svg|title)\b[^>]*>.*?(</\1\s*>|\Z)|<!--.*?(-->|\Z)", re.S | re.I
)
_TITLE: Final = re.compile(r"<title\b[^>]*>(.{1,300}?)</title", re.S | re.I)
_BLOCK: Final = re.compile(
    r"</?(p|h[1-6]|div|br|hr|li|ul|ol|tr|td|th|table|pre|body|html|center|address)\b[^>]*>", re.I
)
_TAG: Final = re.compile(r"<[a-z/!?][^>]*>", re.I)
_SENTENCE: Final = re.compile(r"\n+|(?<=[.!?])\s+(?=[A-Z\"'<(])")
#: What a sentence about a refused handshake is likely to speak of, in lower case.
_MATTERS: Final = re.compile(
    r"web ?sockets?|upgrade|sec-|sub-?protocol|extension|\bversion|\bkey\b|origin|\bhost\b|\bhttps?\b|\btls\b"
    r"|\bssl\b|certificate|token|credential|authent|authori[sz]|login|log in|sign in|session|cookie"
    r"|permission|denied|forbidden by|not allowed|blocked|access list|ip address|limit|too many|too large"
    r"|quota|connections|capacity|maintenance|upstream|backend|server|proxy|route|cannot (get|post)"
    r"|timed? ?out|unavailable|disabled|invalid|missing|expected|required|unknown|unsupported|not (found"
    r"|supported|enabled)|exception|error:",
)
_SIGNATURE: Final = re.compile(r"[\w .-]+/[\d.]+( \([^)]*\))?( server at .*)?$", re.I)
_JSON_KEYS: Final = (
    *("message", "error_description", "detail", "error", "reason", "title", "errors", "msg"),
    *("description", "code"),
)
#: Levels of JSON that are looked through for words.
_DEPTH: Final = 4
#: Numbers by which a request is found in the logs of others: they are no secret, and what one needs.
_KEPT: Final = (
    r"(?P<kept>\b(?:(?:request|trace|correlation|cf)[_-]?id|traceparent|cf-ray)"
    r"[\"']?\s?[:=]\s?[\"']?[\w.-]+)|"
)
#: What is likely a secret: a JSON Web Token, a key with its vendor's prefix, user and password of a URL.
_TOKENS: Final = (
    r"(?<![\w-])eyJ[\w-]{8,}(?:\.[\w-]*){0,2}"
    r"|(?<![\w-])(?:sk|pk|rk|gh[opsu]|glpat|xox[a-z])[-_][\w-]{6,}"
    r"|(?<=://)[^\s/@]{1,128}(?=@)"
)
#: A long word of letters and digits, which is neither a constant's name nor part of a host's.
_LONG_WORD: Final = (
    r"|(?<![\w+])(?!(?-i:[A-Z0-9]+(?:_[A-Z0-9]+)+)(?![\w+]))(?=[a-z_+]*\d)(?=[\d_+]*[a-z])[\w+]{20,}={0,2}"
    r"(?![\w+]|\.[a-z-]{1,63}\.[a-z])"
)
#: What comes between the name of a secret and its value: as in JSON, a query (also an encoded one), or a
#: sentence, where the value has a digit in it, and is more than a count or a status. JSON that is quoted in
#: JSON, as Action Cable's identifiers are, has backslashes before its quotation marks.
_QUOTED: Final = r"\\{0,3}[\"']\s{0,2}:\s{0,2}\\{0,3}[\"']"
_EQUALS: Final = r"(?:\s?=\s?|%3D)[\"']?"
_COLON: Final = r":\s?(?!\d{1,3}(?!\w))(?=[^\s\"',;&}]*\d)"
_SECRETS: Final = r"token|passw(?:or)?d|secret|api[ _-]?key|jwt"
_PERHAPS: Final = r"passcode|passphrase|pwd|auth|session"
_NAMED: Final = (
    rf"|(?P<quoted>(?:{_SECRETS}|{_PERHAPS}){_QUOTED})[^\"'\r\n]+"
    rf"|(?P<name>(?:{_SECRETS})(?:{_EQUALS}|{_COLON}|\s(?!v\d+(?!\w))(?=\S*\d)(?=\S*[a-z]))"
    rf"|\bbearer\s(?=\S*\d)|(?:{_PERHAPS})(?:{_EQUALS}|{_COLON})"
    # A header of STOMP's has no blank behind its colon; a parameter of a URL says by its name what it is.
    r"|passcode:|(?<=[?&])(?:key|sig|sid|code|pass|ticket|signature)=(?!\d{1,4}(?!\w)))[^\s\"',;&}]+"
)
_SECRET: Final = re.compile(_KEPT + _TOKENS + _LONG_WORD + _NAMED, re.I)
_SECRET_BY_NAME: Final = re.compile(_KEPT + _TOKENS + _NAMED, re.I)


def quote(body: bytes, reason: str = "") -> str | None:
    """The words of a body that say why, in at most 200 characters.

    Args:
        body: decompressed; only its first 32 KiB are looked at.
        reason: the reason phrase of the status line: a body that only repeats it says nothing.
    """
    text = body[:_READ].decode("utf-8", "replace").strip()
    if not text or "\0" in text[:64]:
        return None
    if text[0] in "{[":
        said = _of_json(text)
        if said is not None:
            return _cut(said)
    title = _TITLE.search(text)
    if "<" in text:
        text = _BLOCK.sub("\n", _INVISIBLE.sub("\n", text))
        text = html.unescape(_TAG.sub("", text))
    sentences = [" ".join(one.split()) for one in _SENTENCE.split(text)]
    kept = [one for one in sentences if len(one) > 1 and not _is_empty(one, reason)]
    telling = (one for one in kept[:_SENTENCES] if _MATTERS.search(one[:_SEARCHED].lower()))
    # Apache's pages say what happened, and then why: "Reason: Error reading from remote server".
    why = (one for one in kept[:_SENTENCES] if one.startswith("Reason: "))
    best = next(why, None) or next(telling, None) or next(iter(kept), None)
    if best is None and title is not None:
        named = " ".join(html.unescape(title[1]).split())
        best = None if _is_empty(named, reason) else f"a page titled {named!r}"
    return None if best is None else _cut(best)


def _is_empty(sentence: str, reason: str) -> bool:
    """Whether a sentence only repeats the status, or names the software that wrote the page."""
    bare = re.sub(r"^\W*(error\W*)?\d{3}\W*", "", sentence, flags=re.I).strip(" .!:-").lower()
    return bare in ("", "error", reason.strip(" .!").lower()) or _SIGNATURE.match(sentence) is not None


def _of_json(text: str) -> str | None:
    """The message in a JSON error; short JSON is shown whole."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return " ".join(text.split()) if len(text) <= _LONGEST else None
    if len(text) <= _LONGEST:
        return " ".join(text.split())
    return message_in(value)


def message_in(value: Any, depth: int = _DEPTH) -> str | None:
    """The first words of a JSON value where such values have theirs, at most 4 levels down; None without."""
    if isinstance(value, str):
        return value.strip() or None
    if depth and isinstance(value, list):
        return next(filter(None, (message_in(one, depth - 1) for one in value[:8])), None)
    if depth and isinstance(value, dict):
        known = {str(key).lower(): one for key, one in value.items()}
        return next(filter(None, (message_in(known.get(key), depth - 1) for key in _JSON_KEYS)), None)
    return None


#: Without any of these, and without a long word, a line has nothing that the patterns find: most have not,
#: and the patterns take a hundred times as long.
_SIGNS: Final = (
    *("auth", "cookie", "token", "secret", "key", "pass", "jwt", "session", "signature", "pwd", "api"),
    *("bearer", "eyj", "://", "?", "&", "sk-", "sk_", "pk-", "pk_", "rk-", "rk_", "gho", "ghp", "ghs", "ghu"),
    *("glpat", "xox"),
)
_LEAST_WORD: Final = 20


def _may_have_secret(text: str) -> bool:
    lower = text.lower()
    return any(sign in lower for sign in _SIGNS) or any(len(one) >= _LEAST_WORD for one in text.split())


def without_secrets(text: str, secret: re.Pattern[str] = _SECRET) -> str:
    """A peer's words for a title, without what looks like a token, a key or a password."""

    if not _may_have_secret(text):
        return text

    def mask(found: re.Match[str]) -> str:
        return found["kept"] or f"{found['quoted'] or found['name'] or ''}***"

    return secret.sub(mask, text)


#: Fields whose values are credentials, as a line of evidence shows them, or a peer's JSON.
_FIELD: Final = re.compile(
    r"(?<![\w-])(?!sec-websocket-)(?P<name>(?:proxy-)?authorization|(?:set-)?cookie"
    r"|(?:[a-z0-9]{1,40}-){1,4}(?:auth|token|secret|key|password|jwt|session|signature)(?:-[a-z]{1,40}){0,2})"
    r"(?P<colon>[\"']?: ?[\"']?)(?P<value>(?<=[\"'])[^\"'\r\n]+|[^\s\"'][^\r\n]*)",
    re.I,
)
_SCHEME: Final = re.compile(r"(\w+ )?.*", re.S)
_COOKIE: Final = re.compile(r"(?<==)[^;\s]+")
#: Hashes of the handshake, which are no secret (RFC 6455, 1.3).
_HASHES: Final = re.compile(r"\bSec-WebSocket-(?:Key|Accept)\b", re.I)


def masked(line: str) -> str:
    """A line of a finding as it is printed and stored, without what looks like a secret in what it quotes."""
    if not _may_have_secret(line):
        return line
    line = _FIELD.sub(_masked_field, line)
    return without_secrets(line, _SECRET_BY_NAME if _HASHES.search(line) else _SECRET)


def _masked_field(found: re.Match[str]) -> str:
    name, value = found["name"].lower(), found["value"]
    if name.endswith("cookie"):
        # What stands behind a Set-Cookie's first pair says where it is sent, and is no secret.
        value = _COOKIE.sub("***", value, count=int(name == "set-cookie"))
    elif name.endswith("authorization"):
        value = _SCHEME.sub(r"\1***", value, count=1)
    else:
        value = "***"
    return f"{found['name']}{found['colon']}{value}"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3].rstrip() + "..."


#: How the first bytes of other protocols begin, and what they are.
_PROTOCOLS: Final = tuple(
    (re.compile(pattern, re.S), name)
    for pattern, name in (
        (rb"SSH-\d", "an SSH server's banner"),
        (rb"\x15\x03[\x00-\x04]", "a TLS alert"),
        (rb"\x16\x03[\x00-\x04]", "a TLS handshake message"),
        (rb".{3}\x00\x0a[\d.]+[^\x00]{0,40}\x00", "a MySQL server's greeting"),
        (rb".{3}\x00\xff.{2}(#\w{5})?[\x20-\x7e]", "a MySQL server's error"),
        (rb"E\x00\x00.{2}S(FATAL|ERROR)", "a PostgreSQL server's error"),
        (rb"-(ERR|NOAUTH|DENIED|MISCONF)\b", "a Redis server's error"),
        (rb"(CLIENT_|SERVER_)?ERROR\b", "a memcached server's error"),
        (rb"\xff[\xfb-\xfe]", "a Telnet server's negotiation"),
        (rb"AMQP\x00", "an AMQP server's protocol header"),
        (rb"RFB \d{3}", "a VNC server's greeting"),
        (rb"220[ -][^\r\n]*\b(?i:e?smtp)\b", "a mail server's greeting (SMTP)"),
        (rb"220[ -][^\r\n]*(?i:ftp)", "an FTP server's greeting"),
        (rb"220[ -]", "a mail or FTP server's greeting"),
        (rb"\+OK\b", "a mail server's greeting (POP3)"),
        (rb"\* (OK|BYE)\b", "a mail server's greeting (IMAP)"),
        (rb"\x00\x00[\x00-\xff]\x04[\x00\x01]\x00\x00\x00\x00", "an HTTP/2 SETTINGS frame"),
        (rb"[\x20\x30\x40]\x02\x00", "an MQTT packet"),
        (rb"[\x81\x82\x88\x89][\x00-\x7e]", "a WebSocket frame, without a handshake before it"),
        (rb"<(!doctype|html|\?xml)", "a page without an HTTP header block before it"),
    )
)


def protocol_of(first: bytes) -> str | None:
    """What the first bytes of a server are where they are not HTTP; None where unknown."""
    return next((name for shape, name in _PROTOCOLS if shape.match(first)), None)
