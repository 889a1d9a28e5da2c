"""Which software answered, by its fingerprint in a response: header fields, and bodies of its error pages.

A vendor is named on such evidence alone. `Mark.is_author` tells software that wrote this very answer (its
error page, a code of its own) from software that only handled it on the way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from wsinspect.handshake.heads import RawHead


class Mark(NamedTuple):
    """Software recognised in a response.

    Attributes:
        software: its name in `fixes.FIXES`.
        evidence: the line that shows it.
        is_author: whether it made this answer itself.
    """

    software: str
    evidence: str
    is_author: bool = False


#: Field, pattern of its value, software. The first match of each software counts.
_FIELDS: Final = tuple(
    (name, re.compile(pattern, re.I), software)
    for name, pattern, software in (
        ("cf-ray", r".", "cloudflare"),
        ("server", r"^cloudflare", "cloudflare"),
        ("x-amz-cf-id", r".", "aws"),
        ("via", r"cloudfront", "aws"),
        ("server", r"^(awselb|cloudfront)", "aws"),
        ("x-amzn-requestid", r".", "aws"),
        ("x-amzn-trace-id", r".", "aws"),
        ("apigw-requestid", r".", "aws"),
        ("server", r"^google frontend", "gcp"),
        ("via", r"\bgoogle\b", "gcp"),
        ("x-azure-ref", r".", "azure"),
        ("server", r"^microsoft-azure", "azure"),
        ("x-ms-request-id", r".", "azure"),
        ("via", r"vegur", "heroku"),
        ("server", r"^(cowboy, )?heroku", "heroku"),
        ("fly-request-id", r".", "fly"),
        ("server", r"^fly/", "fly"),
        ("x-envoy-upstream-service-time", r".", "envoy"),
        ("server", r"^(istio-)?envoy", "envoy"),
        ("server", r"^nginx", "nginx"),
        ("server", r"^openresty", "nginx"),
        ("server", r"^apache", "apache"),
        ("server", r"^caddy", "caddy"),
        ("via", r"\bcaddy\b", "caddy"),
        ("server", r"^haproxy", "haproxy"),
        ("server", r"^traefik", "traefik"),
        ("server", r"^microsoft-iis", "iis"),
        ("x-powered-by", r"^arr/", "iis"),
        ("server", r"^kestrel", "aspnet"),
        ("x-powered-by", r"^asp\.net", "aspnet"),
        ("server", r"^uvicorn", "uvicorn"),
        ("server", r"\bwebsockets/\d", "websockets"),
        ("server", r"^daphne", "channels"),
        ("server", r"^cowboy$", "phoenix"),
        ("x-powered-by", r"^next\.js", "next"),
        ("x-runtime", r"^\d", "rails"),
        ("x-powered-by", r"phusion passenger", "rails"),
        ("x-powered-by", r"^express", "node-ws"),
    )
)
#: Proxy Manager answers as openresty and names itself in X-Served-By.
_NPM: Final = re.compile(r"^openresty", re.I)
#: Bodies that only this software writes.
_BODIES: Final = tuple(
    (re.compile(pattern, re.I), software)
    for pattern, software in (
        (rb"<center>(nginx|openresty)(/[0-9.]+)?</center>", "nginx"),
        (rb"<address>apache/", "apache"),
        (
            rb"<h1>50[0-9] [^<]*</h1>\s*(no server is available to handle|the server (returned|didn't))",
            "haproxy",
        ),
        (rb"<h1>403 forbidden</h1>\s*request forbidden by administrative rules", "haproxy"),
        (rb"^(upstream connect error or disconnect/reset before headers|no healthy upstream)", "envoy"),
        (rb"cloudflare ray id|cf-error-details", "cloudflare"),
        (rb"<center>microsoft-azure-application-gateway", "azure"),
        (rb"^\s*\{\"code\":\d,\"message\":\"[^\"]*\"\}", "socketio"),
        (rb"^default backend - 404", "k8s-ingress"),
        (rb"successfully started the nginx proxy manager", "npm"),
        (
            rb"^(missing or invalid sec-websocket-(key|version)|invalid (upgrade|sec-websocket-\w+)) header$",
            "node-ws",
        ),
        (rb"invalid host(/origin)? header", "webpack"),
        (rb"blocked request\. this host", "vite"),
        (rb"heroku \| application error|herokucdn\.com/error-pages", "heroku"),
    )
)
_BODY_SCAN: Final = 8192
PROXIES: Final = frozenset(
    {"nginx", "npm", "apache", "caddy", "haproxy", "traefik", "envoy", "iis", "cloudflare", "aws", "gcp"}
    | {"azure", "k8s-ingress", "heroku", "fly"}
)
NAMES: Final = {
    "nginx": "nginx",
    "npm": "Nginx Proxy Manager",
    "apache": "Apache httpd",
    "caddy": "Caddy",
    "haproxy": "HAProxy",
    "traefik": "Traefik",
    "envoy": "Envoy",
    "iis": "IIS",
    "cloudflare": "Cloudflare",
    "aws": "AWS",
    "gcp": "Google Cloud",
    "azure": "Azure",
    "heroku": "Heroku",
    "fly": "Fly.io",
    "k8s-ingress": "Kubernetes ingress-nginx",
    "vite": "Vite",
    "webpack": "webpack-dev-server",
    "next": "Next.js",
    "node-ws": "Node ws",
    "socketio": "Socket.IO",
    "uvicorn": "uvicorn",
    "channels": "Django Channels",
    "websockets": "Python websockets",
    "rails": "Rails",
    "phoenix": "Phoenix",
    "aspnet": "ASP.NET",
    "general": "any software",
}


def recognise(response: RawHead | None, body: bytes = b"") -> tuple[Mark, ...]:
    """The software that left its marks in a response, the author of the answer first."""
    if response is None:
        return ()
    found: dict[str, Mark] = {}
    for shape, software in _BODIES:
        match = shape.search(body[:_BODY_SCAN])
        if match:
            line = f"body: {match[0].decode('latin-1')[:80]}"
            found.setdefault(software, Mark(software, line, True))
    for name, pattern, software in _FIELDS:
        for value in response.get_all(name):
            text = value.decode("latin-1")
            if pattern.search(text):
                found.setdefault(software, Mark(software, f"{name.title()}: {text[:120]}"))
    if "heroku" in found:
        found.pop("phoenix", None)  # its router calls itself Cowboy, as Phoenix' server does
    served_by = response.get("x-served-by")
    if served_by and any(_NPM.search(value.decode("latin-1")) for value in response.get_all("server")):
        mark = Mark("npm", f"Server: openresty with X-Served-By: {served_by.decode('latin-1')[:80]}")
        found = {"npm": mark, **found}
    return tuple(sorted(found.values(), key=lambda mark: not mark.is_author))


def hop_of(marks: Iterable[Mark]) -> str | None:
    """The first recognised proxy, as a finding names it."""
    return next((NAMES[mark.software] for mark in marks if mark.software in PROXIES), None)


def author_of(marks: Iterable[Mark]) -> Mark | None:
    """The software that made the answer itself, if its page shows that."""
    return next((mark for mark in marks if mark.is_author), None)


def hop_author(marks: Iterable[Mark]) -> Mark | None:
    """The proxy that made the answer itself, if its page shows that."""
    return next((mark for mark in marks if mark.is_author and mark.software in PROXIES), None)
