"""Refusals that are neither the server's nor its proxy's: web filters of companies and schools, and
challenges that only a page in a browser can pass. The application did not see the request then.
"""

from __future__ import annotations

import re
from typing import Final

from wsinspect.findings.answering import answer
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.model import Found
from wsinspect.findings.own_pages import is_page

#: `Server` of filters that name themselves there.
_SERVERS: Final = (
    (re.compile(r"^zscaler\b", re.I), "Zscaler"),
    (re.compile(r"^(?:mcafee|skyhigh) web gateway", re.I), "Skyhigh Web Gateway"),
    (re.compile(r"^blue ?coat|^proxysg", re.I), "Blue Coat ProxySG"),
)
#: Names in the pages of filters; anybody's page may have one, so it has to speak of blocking, too.
_PAGES: Final = (
    (re.compile(rb"\bzscaler\b"), "Zscaler"),
    (re.compile(rb"\bfortiguard\b|\bfortigate\b"), "FortiGuard"),
    (re.compile(rb"\bnetskope\b"), "Netskope"),
    (re.compile(rb"cisco umbrella|block\.opendns\.com"), "Cisco Umbrella"),
    (re.compile(rb"\bforcepoint\b|\bwebsense\b"), "Forcepoint"),
    (re.compile(rb"blue ?coat|\bproxysg\b"), "Blue Coat ProxySG"),
    (re.compile(rb"(?:mcafee|skyhigh) web gateway"), "Skyhigh Web Gateway"),
    (re.compile(rb"palo alto networks"), "Palo Alto Networks"),
    (re.compile(rb"sophos (?:web|firewall|utm|xg)"), "Sophos"),
)
_BLOCKS: Final = re.compile(
    rb"\baccess (?:denied|blocked)"
    rb"|\b(?:page|site|url|request|website) (?:is |was |has been )?(?:blocked|banned)"
    rb"|\b(?:is|was|has been) blocked|\bblocked by|\bweb filter|permission to visit this (?:web)?site"
)


def filtered(facts: ConnectionFacts) -> Found | None:
    """A refusal or page of a web filter; None where the answer has no filter's mark."""
    server = facts.response_line("Server").partition(":")[2].strip()
    own = next((name for shape, name in _SERVERS if shape.search(server)), None)
    page = None
    if own is None and is_page(facts) and _BLOCKS.search(facts.wording):
        page = next((name for shape, name in _PAGES if shape.search(facts.wording)), None)
    name = own or page
    if name is None:
        return None
    return answer(
        facts,
        f"Server: {server[:80]}" if own else f"the page names {name} and says that something is blocked",
        fault_of="hop",
        topic="web-filter",
        title=f"{facts.status}: {name}, a web filter on the way, refuses this request",
        meaning=f"{name} wrote this answer. The server, and any proxy before it, did not see the request.",
        causes=(
            (
                "the filter's policy blocks the host or its category",
                "an https:// page of the same host is blocked in a browser, too",
            ),
            (
                "the filter lets pages of this host through and no WebSockets",
                "a page of the same host opens; from another network the WebSocket does, too",
            ),
        ),
    )


def challenged(facts: ConnectionFacts) -> Found | None:
    """Cloudflare's challenge (`cf-mitigated: challenge`): a page that a browser has to show and solve."""
    if "challenge" not in facts.response_line("Cf-Mitigated").partition(":")[2].lower():
        return None
    return answer(
        facts,
        facts.response_line("Cf-Mitigated"),
        fault_of="hop",
        topic="challenge",
        title=f"{facts.status}: Cloudflare wants a challenge solved, which a WebSocket cannot do",
        meaning="Cloudflare answered with a page for people, and the server did not see the request. A page"
        " of the same host that has passed the challenge has a cookie, cf_clearance, that lets its WebSockets"
        " through.",
        causes=(
            (
                "a rule, Bot Fight Mode or Under Attack mode challenges this client",
                "Security > Events in Cloudflare's dashboard has the request and the rule",
            ),
            (
                "the page passed a challenge, and its cookie was not sent along",
                "is cf_clearance among the cookies of the request?",
            ),
        ),
    )
