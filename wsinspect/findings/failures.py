"""Words of failure: whether a message reports one, whether a close reason names one, and whether either is
about a login.

Payloads speak of errors that are none (`"error":0.02`, `0 errors`), and names of fields are an application's
own. What is unclear is no failure: a wrong blame is worse than silence.
"""

from __future__ import annotations

import re
from typing import Any, Final

from wsinspect.findings.quotes import message_in

_SEARCHED: Final = 200
#: Where a word begins: also behind an underscore and at a hump, as in `server_error` and `serverError`.
_BEGIN: Final = r"(?:(?<![a-z0-9])|(?-i:(?<=[a-z])(?=[A-Z])))"
_SECRETS: Final = (
    r"(?:(?<!max[ _-])tokens?|jwt|(?:x-)?api[ _-]?keys?|passwords?|passwd|credentials?"
    r"|session|ticket|signature|login)(?![a-z])"
)
_WRONG: Final = r"(?:invalid|expired|missing|bad|wrong|incorrect|revoked|malformed|rejected|not valid)"
_AUTH: Final = re.compile(
    rf"{_BEGIN}(?:un|non|not[ _-]?)?auth(?:enticat|ori[sz])"
    rf"|{_BEGIN}auth[ _-]?(?:invalid|fail|error|required|expired|timeout|denied)"
    rf"|{_BEGIN}{_WRONG}[ _-](?:[\w-]{{1,20}} ){{0,2}}{_SECRETS}"
    rf"|{_BEGIN}no[ _-](?:[\w-]{{1,20}} )?(?:tokens?|api[ _-]?key|credentials?)(?![a-z])"
    rf"|{_BEGIN}{_SECRETS}[ _-](?:(?:is|was|are|has|have|been) ){{0,2}}{_WRONG}"
    rf"|{_BEGIN}(?:access|permissions?)[ _-](?:is |was )?(?:denied|refused)"
    rf"|{_BEGIN}(?:forbidden|credentials?|(?:not|must be|to be) logged in|login)(?![a-z])",
    re.I,
)
#: A parser's token is no credential: `Unexpected token < in JSON at position 0`.
_PARSED: Final = re.compile(
    r"\b(?:json(?!\s?web\s?token)|xml|parse[rd]?|parsing|syntax|position \d|line \d|column \d)", re.I
)


def is_about_login(words: str) -> bool:
    """Whether a sentence says that somebody is not who he has to be, or may not what he wants."""
    begin = words[:_SEARCHED]
    found = _AUTH.search(begin)
    return found is not None and not ("token" in found[0].lower() and _PARSED.search(begin))


#: What a message that reports a failure of the session is called, whole: `error`, `connection_error`,
#: `auth_invalid`. With another word in front (`build.failed`) it is what the application is about.
_KIND: Final = re.compile(
    r"(?:(?:session|connection|conn|server|protocol|socket|websocket|ws|system|internal|fatal|stream|api"
    r"|request|response|realtime|pusher)[._:/-]?)?(?:error|exception)"
    r"|(?:auth|authentication|authorization|login|connection|handshake)[._:/-]?(?:error|invalid|failed|failure"
    r"|denied|rejected|required|expired)"
    r"|unauthori[sz]ed|unauthenticated|forbidden|access[._-]?denied"
    r"|(?:id|name|nick(?:name)?|user(?:name)?|session|room)[._-](?:(?:is|already)[._-])?(?:taken|in[._-]use)",
    re.I,
)
#: What an error that is none is called.
_NOTHING: Final = re.compile(
    r"(?:no|none|null|nil|n/a|false|true|ok(?:ay)?|success(?:ful)?|no[ _-]?errors?|undefined|-)[.!]?", re.I
)
_A_WORD: Final = re.compile(r"[^\W\d_]{2}")


def failure_in(value: Any) -> str | None:
    """The words of a JSON message that reports a failure; None for any other, and where it has no words.

    A reply (it has the `id` of a request) is about that request, and not about the connection.
    """
    if not isinstance(value, dict) or value.get("id") is not None:
        return None
    kind = next((value[name] for name in ("type", "event") if isinstance(value.get(name), str)), "")
    is_failure = _KIND.fullmatch(kind) is not None
    for name in ("error", "errors"):
        said = value.get(name)
        words = _words(said)
        # A bare text may be a measure ("within limits"), or what a search says of itself.
        is_named = not isinstance(said, str) or failure_named(said) is not None or is_about_login(said)
        if words is not None and (is_failure or is_named):
            return words
    if not is_failure:
        return None
    return next(filter(None, (_words(one) for one in (value.get("payload"), value.get("data"), value))), None)


def _words(value: Any) -> str | None:
    """What a failure says; None where it says that there is none."""
    if not isinstance(value, str | list | dict):
        return None
    if isinstance(value, dict) and value.get("code", 1) in (0, "0"):
        return None
    words = message_in(value)
    is_said = words is not None and _A_WORD.search(words) and not _NOTHING.fullmatch(words)
    return words if is_said else None


_FAILURE: Final = re.compile(
    _BEGIN
    + r"(?:fail(?:ed|ures?|s)?(?![ -]?(?:over|safe|back|fast))|unauthori[sz]ed|forbidden|denied|invalid"
    r"|expired(?= (?:access |refresh )?(?:token|jwt|session|ticket|api key|credentials?|certificate))"
    r"|(?:token|jwt|session|ticket|key|credentials|certificate)[ _-](?:has |have |is |was |are )?expired"
    r"|rejected|refused|exceptions?|exceeded|too (?:many|large|big|slow)"
    r"|not (?:allowed|found|authori[sz]ed|permitted|supported)|unavailable"
    r"|errors?(?:[ _-]?(?:code|counts?|msg|messages?))?)(?![a-z])",
    re.I,
)
#: In front of such a word: that it did not happen. A colon or a comma ends what "no" is said of.
_DENIED: Final = re.compile(
    r"(?<![\w.])(?:no|not|non|without|zero|0|never|none|nothing|neither|nor|free of|recovered from|any"
    r"|(?:is|was|has|did|does|are|were)n['’]?t|cannot)[ _-]+(?:[\w]+[ _-]+){0,2}$"
    r"|(?<![a-z])no$",
    re.I,
)
#: Behind it: that there is none, or that it is over.
_NONE_OF_IT: Final = re.compile(
    r"""["']?\s*(?:[:=]\s*["']?(?:(?:0|none|null|nil|false|no|ok|undefined)(?![\w.])|\[\s*\]|\{\s*\}|["']"""
    r"""|\{\s*["']?code["']?\s*[:=]\s*0(?!\w)|-?(?=[},;)]|$))|\s\(?(?:0|none)(?![\w.])"""
    r"""|[ -]free\b|\s(?:was |were |is |are )?(?:resolved|fixed|handled|cleared|corrected|recovered)\b)""",
    re.I,
)
_BEFORE: Final = 48


def failure_named(reason: str) -> re.Match[str] | None:
    """Where a close reason names a failure; None where it names none, or says that there was none."""
    for found in _FAILURE.finditer(reason[:_SEARCHED]):
        is_denied = _DENIED.search(reason[max(0, found.start() - _BEFORE) : found.start()])
        if not is_denied and not _NONE_OF_IT.match(reason, found.end()):
            return found
    return None
