"""Requests that a browser makes for itself: updates, the time, accounts, telemetry.

No page asks for them, and nobody's WebSocket waits for them: that they fail, as on a machine without a way
to the internet, is no concern of whoever debugs one. A host that serves users as well, as that of Google's
accounts does, is recognised by the path. Sources: the hosts that Mozilla (support.mozilla.org, "Firefox makes
unrequested connections") and Google (support.google.com/chrome/a/answer/6334001) name, and what Chromium
and Firefox were seen asking for with a new profile.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

#: Hosts that only a browser itself has business with.
_HOSTS: Final = frozenset(
    (
        "android.clients.google.com",
        "chromewebstore.googleapis.com",
        "content-autofill.googleapis.com",
        "edgedl.me.gvt1.com",
        "mtalk.google.com",
        "optimizationguide-pa.googleapis.com",
        "redirector.gvt1.com",
        "safebrowsing.googleapis.com",
        "safebrowsing.google.com",
        "sb-ssl.google.com",
        "update.googleapis.com",
        "config.edge.skype.com",
        "edge.microsoft.com",
        "msedge.api.cdp.microsoft.com",
        "aus5.mozilla.org",
        "ciscobinary.openh264.org",
        "contile.services.mozilla.com",
        "detectportal.firefox.com",
        "firefox-settings-attachments.cdn.mozilla.net",
        "firefox.settings.services.mozilla.com",
        "incoming.telemetry.mozilla.org",
        "location.services.mozilla.com",
        "push.services.mozilla.com",
        "shavar.services.mozilla.com",
        "tracking-protection.cdn.mozilla.net",
        "versioncheck-bg.addons.mozilla.org",
        "versioncheck.addons.mozilla.org",
    )
)
_SUFFIXES: Final = (".services.mozilla.com", ".cdn.mozilla.net", ".telemetry.mozilla.org")
#: Of hosts with pages for users, what only a browser asks for: how the path begins.
_PATHS: Final[dict[str, tuple[str, ...]]] = {
    "accounts.google.com": ("/ListAccounts", "/GetCheckConnectionInfo", "/MergeSession", "/OAuthLogin"),
    "clients2.google.com": ("/time/", "/service/update2", "/domainreliability/"),
    "clients4.google.com": ("/chrome-sync", "/uma/", "/ukm/", "/chrome-variations"),
    "clientservices.googleapis.com": ("/chrome-variations", "/uma/"),
    "www.google.com": ("/dl/release2/", "/async/newtab_", "/async/ddljson"),
    "www.googleapis.com": ("/chromewebstore/",),
    "addons.mozilla.org": ("/api/v4/addons/search", "/blocklist/"),
    "services.addons.mozilla.org": ("/api/v4/", "/api/v5/"),
}


def is_of_browser(url: object, host: object = None) -> bool:
    """Whether a browser asked for itself.

    Args:
        url: of the request; anything else where it is not known.
        host: of a connection whose request was never read, as a TLS handshake names it.
    """
    parts = _split(url)
    name, path = (str(host or ""), "") if parts is None else parts
    name = name.lower().rstrip(".")
    if name in _HOSTS or name.endswith(_SUFFIXES):
        return True
    return path.startswith(_PATHS.get(name, ("\n",)))


def _split(url: object) -> tuple[str, str] | None:
    """Host and path; None where it is not a URL."""
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        return None if parts is None or not parts.hostname else (parts.hostname, parts.path)
    except ValueError:  # such as a port or an address in brackets that is none
        return None


__all__ = ["is_of_browser"]
