"""What mitmproxy knows of a connection, as the plain values that go into the journal.

Pure functions from mitmproxy's objects to events, or to objects that JSON takes; times are epoch nanoseconds.
"""

from __future__ import annotations

import os
import re
from typing import Any

from mitmproxy import certs, connection, http
from mitmproxy.net.http import url
from mitmproxy.proxy import mode_specs

from wsinspect.faults.sessions import SessionBy, SessionKey, credentials_of
from wsinspect.net import Address
from wsinspect.proxy.clock import to_ns
from wsinspect.vocabulary import events

_ADDRESS = re.compile(r"\('([^']+)', (\d+)")
#: Positive numbers are errno's; negative ones are getaddrinfo's, with its message after them.
_ERRNO = re.compile(r"\[Errno (\d+)\]")


def address(value: Any) -> str | None:
    """('::1', 80, 0, 0) -> '[::1]:80'."""
    if not value:
        return None
    return str(Address.of_socket(value))


def attempt(flow: http.HTTPFlow, tap: str | None, session: int) -> events.Attempt:
    """Who asks for what, as the client put it; `session` is what its reconnects have in common."""
    client, request = flow.client_conn, flow.request
    host, port = _named_host(request)
    is_secure = _is_secure(flow)
    return events.Attempt(
        tap=tap,
        client=address(client.peername),
        listener=address(client.sockname),
        scheme="wss" if is_secure else "ws",
        host=host,
        port=port or (443 if is_secure else 80),
        path=request.path,
        http_version=request.http_version,
        tcp_ns=to_ns(client.timestamp_start),
        tls_ns=to_ns(client.timestamp_tls_setup),
        client_tls=tls(client),
        client_session=session,
    )


def _is_secure(flow: http.HTTPFlow) -> bool:
    """Whether the client asked for `wss`.

    In front of one server that is whether it speaks TLS to us. Elsewhere the TLS may be with us as an https
    proxy, and inside it `ws` is asked for: there mitmproxy knows the request's own scheme.
    """
    if isinstance(flow.client_conn.proxy_mode, mode_specs.ReverseMode):
        return flow.client_conn.tls
    return flow.request.scheme == "https"


def session_key(flow: http.HTTPFlow, tap: str | None, by: SessionBy | None = None) -> SessionKey:
    """What stays the same when the client of an attempt reconnects.

    Args:
        by: what the user chose to tell clients apart; one that lacks it is known by all else.
    """
    request, headers = flow.request, flow.request.headers
    peer = flow.client_conn.peername
    path, _, query = request.path.partition("?")
    user_agent = headers.get("user-agent", "")
    host = f"{request.pretty_host}:{request.port}"
    chosen = _chosen(request, by) if by is not None else None
    if chosen is not None:
        return SessionKey(
            tap or "", "", f"{request.pretty_host}:{request.port}", path, "", "", f"{by}\n{chosen}"
        )
    credentials = ""
    if not user_agent:
        credentials = credentials_of(headers.get("cookie", ""), headers.get("authorization", ""), query)
    return SessionKey(
        tap or "",
        str(peer[0]),
        host,
        path,
        user_agent,
        headers.get("origin", ""),
        credentials,
    )


def _chosen(request: http.Request, by: SessionBy) -> str | None:
    if by.part == "header":
        return request.headers.get(by.name)
    return (request.cookies if by.part == "cookie" else request.query).get(by.name)


def _named_host(request: http.Request) -> tuple[str, int | None]:
    """The host that the client names; the address it is sent to where it names none."""
    try:
        return url.parse_authority(request.host_header or "", check=True)
    except ValueError:
        return request.host, request.port


def tls(conn: connection.Connection) -> dict[str, Any] | None:
    """What was negotiated on one leg; None without TLS."""
    if not conn.tls:
        return None
    return {
        "version": conn.tls_version,
        "cipher": conn.cipher,
        "alpn_offered": [_text(offer) for offer in conn.alpn_offers],
        "alpn": _text(conn.alpn),
        "sni": conn.sni,
    }


def server(conn: connection.Server, is_verified: bool, verify_error: str | None) -> events.Server:
    """The leg behind the proxy, as far as it came."""
    facts = tls(conn)
    if facts is not None:
        facts["verified"] = is_verified
        facts["verify_error"] = verify_error
        chain = conn.certificate_list
        facts["certificate"] = certificate(chain[0]) if chain else None
    return events.Server(
        address=address(conn.address),
        peer=address(conn.peername),
        sockname=address(conn.sockname),
        tcp_start_ns=to_ns(conn.timestamp_start),
        tcp_done_ns=to_ns(conn.timestamp_tcp_setup),
        tls_done_ns=to_ns(conn.timestamp_tls_setup),
        tls=facts,
        error=conn.error,
    )


def failure(where: str, error: str) -> str:
    """Why an attempt got no answer of the server's, in words for its client and for the capture.

    Args:
        where: "connect", "tls-server", or another part of the way.
        error: as mitmproxy has it, for a refused port "[Errno 111] Connect call failed ('127.0.0.1', 9)".
    """
    if where == "tls-server":
        return f"TLS with the server failed: {error}"
    if where != "connect":
        return error
    places = [address((host, port)) for host, port in _ADDRESS.findall(error)]
    reasons = dict.fromkeys(os.strerror(int(number)).lower() for number in _ERRNO.findall(error))
    reason = ", ".join(reasons) or error.rpartition("] ")[2]
    return f"cannot connect to {' or '.join(map(str, places)) or 'the server'}: {reason}"


_UNTRUSTED = re.compile(
    r"certificate verify failed|self[- ]signed|unable to get (local )?issuer|hostname mismatch", re.I
)


def advice(where: str, error: str) -> str:
    """What to do about a failure, for the body of our 502: "" where there is nothing to say."""
    if where == "tls-server" and _UNTRUSTED.search(error):
        return (
            ". This proxy refused the server's certificate: start it with --ca FILE to trust the server's own"
            " CA, or with --insecure to accept any certificate."
        )
    return ""


def certificate(cert: certs.Cert) -> dict[str, Any]:
    """The facts of a leaf certificate that explain why it is refused."""
    return {
        "subject": ", ".join(f"{key}={value}" for key, value in cert.subject),
        "issuer": ", ".join(f"{key}={value}" for key, value in cert.issuer),
        "sans": [str(getattr(name, "value", name)) for name in cert.altnames],
        "not_before": cert.notbefore.isoformat(),
        "not_after": cert.notafter.isoformat(),
        "sha256": cert.fingerprint().hex(),
    }


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("ascii", "backslashreplace")
