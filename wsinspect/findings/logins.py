"""What of a request may be credentials, and where each stands; values are never shown."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qsl

from wsinspect.findings.facts import ConnectionFacts

#: Anybody may send a token: a time beyond this (the year 5138) is nobody's, and may be no float.
_LATEST_EXPIRY: Final = 10**11
_TOKEN_NAME: Final = re.compile(
    r"token|auth|jwt|ticket|session|sid$|api[-_]?key|^key$|secret|sig(nature)?$|passw|credential", re.I
)
#: Cookies that say who a user is, by the names that frameworks give them.
_LOGIN: Final = re.compile(
    r"sess|(?:^|[_.-]|connect\.)s?sid$|auth|token|jwt|login|logged|user|identity|remember|\bsso|oauth|ticket",
    re.I,
)
#: Cookies that say something else, by names that are well known: the visitor's consent, statistics and
#: advertising, a check against forged requests, the server or challenge that a hop has chosen, settings.
_NO_LOGIN: Final = re.compile(
    r"""
      _{1,2}ut[a-z]{1,2} | _g(?:a|id|at|cl|ac)(?:[_-].*)? | _fb[pc] | _hj.* | _pk_.* | _clck | _clsk | _uet.*
    | _scid | _ttp | _tt_.* | _mkto_trk | _dc_gtm_.* | _vis_opt_.* | _vwo.* | ajs_.* | amplitude.* | amp_.*
    | mp_.*_mixpanel | ph_.*_posthog | optimizely.* | hubspotutk | __hs.* | intercom-(?:id|device-id)-.*
    | IDE | NID | MUID | fr | datr | bcookie | lidc
    | .*consent.* | optanon.* | cookielaw.* | cookie[_-]?(?:notice|policy|banner|accept).* | .*gdpr.*
    | euconsent.* | cc_cookie | klaro | usprivacy
    | .*(?:csrf|xsrf).* | __RequestVerificationToken.*
    | __cf_?bm | __cfruid | _cfuvid | cf_clearance | __cfduid | ak_bmsc | bm_(?:sv|sz|mi|so|s|ss|lso) | _abck
    | incap_ses_.* | visid_incap_.* | datadome | aws-waf-token
    | AWSALB(?:TG)?(?:CORS)? | AWSELB(?:CORS)? | SERVERID | BIGipServer.* | ARRAffinity(?:SameSite)? | GCLB
    | INGRESSCOOKIE | lb | route | sticky | io
    | lang(?:uage)? | locale | i18n.* | NEXT_LOCALE | theme | color-?scheme | dark-?mode | tz | timezone
    | currency | country | region
    """,
    re.I | re.X,
)
_SHOWN: Final = 80


def expiry(token: str) -> float | None:
    """When a JSON Web Token expires: its `exp`, in seconds since the epoch (RFC 7519, 4.1.4).

    None where the text is not such a token or has no `exp`.
    """
    parts = token.split(".")
    if len(parts) != 3 or not parts[1] or len(token) > 16_384:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    expires = claims.get("exp") if isinstance(claims, dict) else None
    if isinstance(expires, bool) or not isinstance(expires, int | float) or not abs(expires) < _LATEST_EXPIRY:
        return None
    return float(expires)


def tokens(facts: ConnectionFacts) -> Iterator[tuple[str, str]]:
    """(place, text) of each part of a handshake that may hold a JSON Web Token."""
    query = (facts.path or "").partition("?")[2]
    for name, value in parse_qsl(query)[:50]:
        yield f"the query's {name[:40]}", value
    head = facts.request_in
    if head is not None:
        for one in head.elements("sec-websocket-protocol"):
            yield "Sec-WebSocket-Protocol", one.decode("latin-1")
        authorization = (head.get("authorization") or b"").decode("latin-1")
        yield "Authorization", authorization.rpartition(" ")[2]
        for name, value in _cookies(facts):
            if name and not is_no_login(name):
                yield f"the cookie {name[:40]}", value.strip('"')


def cookie_names(facts: ConnectionFacts) -> list[str]:
    """The names of the cookies that were sent, in order."""
    return [name for name, _ in _cookies(facts) if name]


def _cookies(facts: ConnectionFacts) -> list[tuple[str, str]]:
    head = facts.request_in
    parts = [part for one in head.get_all("cookie") for part in one.split(b";")] if head else []
    pairs = (part.decode("latin-1").partition("=") for part in parts)
    return [(name.strip(), value.strip()) for name, _, value in pairs]


def is_no_login(cookie: str) -> bool:
    """Whether a cookie of this name is known to be about something other than who the user is."""
    return _NO_LOGIN.fullmatch(cookie.removeprefix("__Host-").removeprefix("__Secure-")) is not None


def cookie_line(facts: ConnectionFacts) -> str:
    """Which cookies were sent, without their values."""
    names = cookie_names(facts)
    if not names:
        return "the request has no Cookie header"
    return f"cookies sent: {', '.join(names)[:120]} (values not shown)"


def other_cookies(facts: ConnectionFacts) -> tuple[str, ...]:
    """An evidence line: cookies that were sent and are no credentials; none where there are others, too."""
    names = cookie_names(facts)
    if not names or not all(map(is_no_login, names)):
        return ()
    return (f"cookies sent that say nothing of who the user is: {', '.join(names)[:_SHOWN]}",)


def credentials(facts: ConnectionFacts) -> tuple[str, ...]:
    """What of the request may be credentials: where each stands, without its value.

    Of cookies those that are named like a session; else those of which nobody knows what they are.
    """
    head = facts.request_in
    found = []
    if head is not None:
        for value in head.get_all("authorization")[:1]:
            scheme = value.decode("latin-1").partition(" ")[0][:20]
            found.append(f"an Authorization header ({scheme})")
    for name, _ in parse_qsl((facts.path or "").partition("?")[2], keep_blank_values=True)[:50]:
        if _TOKEN_NAME.search(name):
            found.append(f"{name[:40]} in the query")
    names = [name for name in cookie_names(facts) if not is_no_login(name)]
    if names:
        shown = [name for name in names if _LOGIN.search(name)] or names
        found.append(f"the cookie {', '.join(shown)[:_SHOWN]}")
    if head is not None and any(
        _is_token(one.decode("latin-1")) for one in head.elements("sec-websocket-protocol")
    ):
        found.append("a token in Sec-WebSocket-Protocol")
    return tuple(found)


def _is_token(text: str) -> bool:
    return expiry(text) is not None or len(text) >= 32 or _TOKEN_NAME.search(text) is not None


def lost_here(facts: ConnectionFacts) -> tuple[str, ...]:
    """Evidence lines: credentials that the client sent and that did not leave this tap."""
    before, after = facts.request_in, facts.request_out
    if before is None or after is None or before is after:
        return ()
    return tuple(
        f"{name} arrived here and was not sent on"
        for name in ("Authorization", "Cookie", "Sec-WebSocket-Protocol")
        if before.get_all(name) and not after.get_all(name)
    )
