"""Known default limits of software between a client and a server, to match silences and ages against.

Most numbers are shared: 60 s is nginx, Apache, an AWS load balancer and more. So a match is a list, and names
nobody; a fingerprint or a second tap does.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Kind = Literal["idle", "lifetime", "keepalive", "handshake"]


class Limit(NamedTuple):
    """A default limit: whose (a name in `software.NAMES` where there is one), the setting, and its kind."""

    software: str
    who: str
    setting: str
    seconds: float
    kind: Kind


LIMITS: Final = (
    Limit("nginx", "nginx and what builds on it", "proxy_read_timeout / proxy_send_timeout", 60, "idle"),
    Limit("npm", "Nginx Proxy Manager", "proxy_read_timeout", 60, "idle"),
    Limit("k8s-ingress", "ingress-nginx", "proxy-read-timeout", 60, "idle"),
    Limit("k8s-ingress", "ingress-nginx", "worker-shutdown-timeout after a reload", 240, "lifetime"),
    Limit("apache", "Apache httpd", "ProxyTimeout", 60, "idle"),
    Limit("haproxy", "OpenShift's HAProxy router", "timeout client", 30, "idle"),
    Limit("traefik", "Traefik", "respondingTimeouts.readTimeout", 60, "idle"),
    Limit("envoy", "Envoy, Istio", "stream_idle_timeout", 300, "idle"),
    Limit("aws", "AWS ALB, Classic ELB", "idle timeout", 60, "idle"),
    Limit("aws", "AWS NLB", "TCP idle timeout", 350, "idle"),
    Limit("aws", "AWS API Gateway", "idle timeout", 600, "idle"),
    Limit("aws", "AWS API Gateway", "connection duration", 7200, "lifetime"),
    Limit("aws", "CloudFront", "origin idle timeout", 600, "idle"),
    Limit("gcp", "Google Cloud external ALB (classic)", "backend service timeout", 30, "lifetime"),
    Limit("azure", "Azure Load Balancer", "idle timeout (a silent drop unless TCP reset is on)", 240, "idle"),
    Limit("azure", "Azure Front Door", "idle timeout", 300, "idle"),
    Limit("azure", "Azure Front Door", "connection duration", 14400, "lifetime"),
    Limit("cloudflare", "Cloudflare", "idle timeout", 100, "idle"),
    Limit("heroku", "Heroku", "rolling timeout (H15)", 55, "idle"),
    Limit("fly", "Fly.io", "idle timeout", 60, "idle"),
    Limit("phoenix", "Phoenix, Cowboy", "socket timeout", 60, "idle"),
    Limit("general", "Jetty", "idle timeout", 30, "idle"),
    Limit("general", "mitmproxy before 12.2.1", "tcp_timeout", 600, "idle"),
    Limit("general", "Sellia tunnel", "request timeout", 30, "handshake"),
    Limit("general", "Sellia tunnel", "ping timeout", 60, "keepalive"),
    Limit("uvicorn", "Python websockets, uvicorn", "ping 20 s and pong timeout 20 s", 40, "keepalive"),
    Limit("socketio", "Socket.IO 3 and 4", "pingInterval 25 s and pingTimeout 20 s", 45, "keepalive"),
    Limit("socketio", "Socket.IO 2", "pingInterval 25 s and pingTimeout 5 s", 30, "keepalive"),
    Limit("aspnet", "SignalR", "client timeout", 30, "keepalive"),
    Limit("aspnet", "SignalR", "handshake timeout", 15, "handshake"),
    Limit("general", "Deno", "idleTimeout", 30, "keepalive"),
)
#: A limit matches within two seconds: timers of proxies are coarse, and the last byte was seen elsewhere.
TOLERANCE_SECONDS: Final = 2.0


def matching(seconds: float, *kinds: Kind) -> list[Limit]:
    """Limits of these kinds that `seconds` fits, the nearest first."""
    fits = [
        limit
        for limit in LIMITS
        if limit.kind in kinds and -0.5 <= seconds - limit.seconds <= TOLERANCE_SECONDS
    ]
    return sorted(fits, key=lambda limit: abs(seconds - limit.seconds))


def is_round(seconds: float) -> bool:
    """Whether a silence or an age looks like somebody's setting: a whole number of seconds from 1 on.

    Timers fire late, by as much as a few per cent. nginx moves a timer only when it is 0.3 s off: it may be
    early by as much.
    """
    nearest = round(seconds)
    return (
        nearest >= 1
        and -min(0.3, nearest * 0.1) <= seconds - nearest <= max(0.25, nearest * 0.02)
        and (nearest in (1, 2, 3, 5, 10, 15, 20, 25, 30, 40, 45, 50, 55, 90, 100, 120) or nearest % 60 == 0)
    )


def words(limit: Limit) -> str:
    """A line of evidence."""
    return f"{limit.who}: {limit.setting}, {limit.seconds:g} s ({limit.kind})"
