"""The lines that a finding prints for a listener with TLS, a limit on connections, or an Origin behind TLS,
applied to the configuration that fails on the real program: the failure is gone.

What a line marks as the reader's own is filled in (a path, a port, a name), and nothing else is changed.
"""

import asyncio
import contextlib
import ssl

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import WebSocketException
from websockets.typing import Origin

from tests.support.certs import make_chain
from tests.support.hops import LOOPBACK, NGINX_GOOD, apache, caddy, haproxy, nginx
from tests.support.small_servers import echo
from wsinspect.findings.fixes import FIXES

pytestmark = [pytest.mark.lab, pytest.mark.slow]

NAME = "chat.example.com"


class Site:
    """What a configuration needs: certificates, and the application's address."""

    def __init__(self, folder, app):
        self.app = f"{LOOPBACK}:{app}"
        self.mine = make_chain(folder / "mine", (NAME, LOOPBACK))
        self.other = make_chain(folder / "other", ("other.example",))
        self.pem = folder / "your.site.pem"
        self.pem.write_bytes(self.mine.fullchain.read_bytes() + self.mine.key.read_bytes())
        self.alone = folder / "alone.pem"
        self.alone.write_bytes(self.mine.leaf.read_bytes() + self.mine.key.read_bytes())
        self.others = folder / "other.pem"
        self.others.write_bytes(self.other.fullchain.read_bytes() + self.other.key.read_bytes())
        self.all = folder / "all"
        self.all.mkdir()
        for number, one in enumerate((self.others, self.pem)):
            (self.all / f"{number}.pem").write_bytes(one.read_bytes())


# -- hops with TLS; each takes the site and the printed line, or None for what is wrong


def nginx_tls(folder, site, lines, *, pair=None):
    chain, key = pair or (site.mine.fullchain, site.mine.key)
    place = f"location / {{ {NGINX_GOOD} proxy_pass http://{site.app}; }}"
    server = f"ssl_certificate_key {key}; {lines}\n"
    if "ssl_certificate " not in lines:
        server += f" ssl_certificate {chain};"
    return nginx(folder, place, server=server, listen=" ssl")


def haproxy_tls(folder, site, bind, *, main="", frontend=""):
    return haproxy(folder, f"server app {site.app}", bind=bind, main=main, frontend=frontend)


def apache_tls(folder, site, lines):
    own = "" if "SSLCertificateFile" in lines else f"SSLCertificateFile {site.mine.fullchain}\n"
    rules = f"SSLEngine on\n{own}SSLCertificateKeyFile {site.mine.key}\n{lines}\n"
    return apache(folder, rules + f'ProxyPass "/" "http://{site.app}/" upgrade=websocket')


def certificate_nginx(folder, site, fix):
    line = fix or f"ssl_certificate {site.mine.leaf};"
    return nginx_tls(
        folder, site, line.replace("/etc/letsencrypt/live/your.site/fullchain.pem", str(site.mine.fullchain))
    )


def certificate_apache(folder, site, fix):
    line = fix or f"SSLCertificateFile {site.mine.leaf}"
    return apache_tls(
        folder, site, line.replace("/etc/letsencrypt/live/your.site/fullchain.pem", str(site.mine.fullchain))
    )


def certificate_haproxy(folder, site, fix):
    line = fix or f"bind :443 ssl crt {site.alone}"
    return haproxy_tls(
        folder, site, line.removeprefix("bind :443").replace("/etc/haproxy/your.site.pem", str(site.pem))
    )


def version_nginx(folder, site, fix):
    return nginx_tls(folder, site, fix or "ssl_protocols TLSv1.3;")


def version_apache(folder, site, fix):
    return apache_tls(folder, site, fix or "SSLProtocol -all +TLSv1.3")


def version_haproxy(folder, site, fix):
    main = fix or "ssl-default-bind-options ssl-min-ver TLSv1.3"
    return haproxy_tls(folder, site, f" ssl crt {site.pem}", main=main)


def client_nginx(folder, site, fix):
    return nginx_tls(
        folder, site, f"ssl_client_certificate {site.other.ca}; {fix or 'ssl_verify_client on;'}\n"
    )


def client_apache(folder, site, fix):
    return apache_tls(
        folder, site, f"SSLCACertificateFile {site.other.ca}\n{fix or 'SSLVerifyClient require'}"
    )


def client_haproxy(folder, site, fix):
    line = fix or "bind :443 ssl crt ... ca-file ca.pem verify required"
    own = (
        line.removeprefix("bind :443")
        .replace("crt ...", f"crt {site.pem}")
        .replace("ca.pem", str(site.other.ca))
    )
    return haproxy_tls(folder, site, own)


def client_caddy(folder, site, fix):
    """The block has the mode; certificate, key and the authority that signs clients are the reader's."""
    block = fix or "tls {\n    client_auth {\n        mode require_and_verify\n    }\n}"
    block = block.replace("tls {", f"tls {site.mine.fullchain} {site.mine.key} {{", 1)
    block = block.replace("client_auth {", f"client_auth {{\ntrusted_ca_cert_file {site.other.ca}", 1)
    return caddy(folder, f"{block}\nreverse_proxy {site.app}", address=f"https://{NAME}:{{port}}, https://")


def h2_nginx(folder, site, fix):
    listen = " ssl" if fix is None else fix.partition(";")[0].removeprefix("listen 443")
    place = f"location / {{ {NGINX_GOOD} proxy_pass http://{site.app}; }}"
    server = f"ssl_certificate {site.mine.fullchain}; ssl_certificate_key {site.mine.key};"
    return nginx(folder, place, server=server, listen=listen)


def h2_haproxy(folder, site, fix):
    line = fix or "bind :443 ssl crt site.pem"
    return haproxy_tls(folder, site, line.removeprefix("bind :443").replace("site.pem", str(site.pem)))


def sni_nginx(folder, site, fix):
    """The first server rejects whatever no other one has the name of; the fix names the other one."""
    name = fix or "server_name other.example;"
    with_name = f"""ssl_reject_handshake on; }} server {{
        listen {LOOPBACK}:{{port}} ssl;
        {name}
        ssl_certificate {site.mine.fullchain}; ssl_certificate_key {site.mine.key};"""
    place = f"location / {{ {NGINX_GOOD} proxy_pass http://{site.app}; }}"
    return nginx(folder, place, server=with_name, listen=" ssl default_server")


def sni_haproxy(folder, site, fix):
    line = fix or f"bind :443 ssl crt {site.others} strict-sni"
    return haproxy_tls(
        folder, site, line.removeprefix("bind :443").replace("/etc/haproxy/certs/", f"{site.all}/")
    )


def sni_apache(folder, site, fix):
    """The first VirtualHost answers for names that no other one has."""
    hosts = []
    for chain, key, name in (
        (site.other.fullchain, site.other.key, "ServerName other.example"),
        (site.mine.fullchain, site.mine.key, fix or "ServerName another.example"),
    ):
        hosts.append(
            f"<VirtualHost *:*>\n{name}\nSSLEngine on\nSSLCertificateFile {chain}\n"
            f'SSLCertificateKeyFile {key}\nProxyPass "/" "http://{site.app}/" upgrade=websocket\n'
            "</VirtualHost>"
        )
    return apache(folder, "\n".join(hosts))


def sni_caddy(folder, site, fix):
    """The reader's `...`: a certificate, and where it goes."""
    inside = f"tls {site.mine.fullchain} {site.mine.key}\nreverse_proxy {site.app}"
    named = (fix or "other.example { ... }").replace(" { ... }", f":{{port}} {{\n{inside}\n}}")
    default = f"tls {site.other.fullchain} {site.other.key}\nrespond 404"
    return caddy(folder, default, address=f"{named}\nhttps://")


def limit_apache(folder, site, fix):
    lines = fix or "MaxRequestWorkers 32"
    return apache(folder, f'{lines}\nProxyPass "/" "http://{site.app}/" upgrade=websocket')


def origin_haproxy(folder, site, fix):
    return haproxy_tls(folder, site, f" ssl crt {site.pem}", frontend=fix or "")


# -- checks


def client_context(site, *, most=None, alpn=()):
    context = ssl.create_default_context(cafile=str(site.mine.ca))
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if most is not None:
        context.maximum_version = most
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


async def opens(hop, site, **options):
    """Whether a client that trusts the root alone is echoed over TLS; SNI and the name checked are `NAME`."""
    with contextlib.suppress(WebSocketException, OSError, TimeoutError, EOFError):
        async with connect(
            f"wss://{NAME}:{hop.port}/ws",
            host=LOOPBACK,
            port=hop.port,
            ssl=client_context(site, **options),
            server_hostname=NAME,
            origin=Origin(f"https://{NAME}:{hop.port}"),
            proxy=None,
            open_timeout=4,
            ping_interval=None,
        ) as socket:
            await socket.send("hello")
            return await asyncio.wait_for(socket.recv(), 3) == "hello"
    return False


async def opens_by_tls12(hop, site):
    return await opens(hop, site, most=ssl.TLSVersion.TLSv1_2)


async def chooses_h2(hop, site):
    """Whether ALPN ends in HTTP/2, and a WebSocket over HTTP/1.1 still opens."""
    context = client_context(site, alpn=["h2", "http/1.1"])
    _, writer = await asyncio.open_connection(LOOPBACK, hop.port, ssl=context, server_hostname=NAME)
    chosen = writer.get_extra_info("ssl_object").selected_alpn_protocol()
    writer.close()
    return chosen == "h2" and await opens(hop, site)


async def holds_forty(hop, _):
    """Whether forty sockets are open at once, and the program took its settings without a remark."""
    async with contextlib.AsyncExitStack() as held:
        for _number in range(40):
            try:
                socket = await connect(
                    f"ws://{LOOPBACK}:{hop.port}/ws", proxy=None, open_timeout=2, ping_interval=None
                )
            except (WebSocketException, OSError, TimeoutError):
                return False
            held.push_async_callback(socket.close)
    said = (hop.folder / "error.log").read_text() + hop.log.read_text()
    return "decreasing" not in said and "MaxRequestWorkers" not in said


async def same_origin_behind_tls(connection, request):
    """An application that trusts X-Forwarded-Proto, as Rails and Django do."""
    scheme = request.headers.get("X-Forwarded-Proto", "http")
    if request.headers.get("Origin") not in (None, f"{scheme}://{request.headers['Host']}"):
        return connection.respond(403, "origin not allowed\n")
    return None


#: topic, software, hop, check, what the application checks
CELLS = [
    ("certificate", "nginx", certificate_nginx, opens, None),
    ("certificate", "apache", certificate_apache, opens, None),
    ("certificate", "haproxy", certificate_haproxy, opens, None),
    ("tls-version", "nginx", version_nginx, opens_by_tls12, None),
    ("tls-version", "apache", version_apache, opens_by_tls12, None),
    ("tls-version", "haproxy", version_haproxy, opens_by_tls12, None),
    ("client-certificate", "nginx", client_nginx, opens, None),
    ("client-certificate", "apache", client_apache, opens, None),
    ("client-certificate", "haproxy", client_haproxy, opens, None),
    ("client-certificate", "caddy", client_caddy, opens, None),
    ("h2-offer", "nginx", h2_nginx, chooses_h2, None),
    ("h2-offer", "haproxy", h2_haproxy, chooses_h2, None),
    ("sni", "nginx", sni_nginx, opens, None),
    ("sni", "haproxy", sni_haproxy, opens, None),
    ("sni", "apache", sni_apache, opens, None),
    ("sni", "caddy", sni_caddy, opens, None),
    ("connection-limit", "apache", limit_apache, holds_forty, None),
    ("origin", "haproxy", origin_haproxy, opens, same_origin_behind_tls),
]


@pytest.mark.parametrize(
    ("topic", "software", "start", "check", "refuses"),
    [pytest.param(*cell, id=f"{cell[0]}-{cell[1]}") for cell in CELLS],
)
def test_the_printed_lines_mend_a_listener(topic, software, start, check, refuses, tmp_path):
    async def try_both():
        async with serve(echo, LOOPBACK, 0, process_request=refuses, ping_interval=None) as server:
            site = Site(tmp_path, next(iter(server.sockets)).getsockname()[1])
            works: list[bool] = []
            for fix in (None, FIXES[topic][software]):
                hop = await asyncio.to_thread(start, tmp_path / f"hop-{len(works)}", site, fix)
                try:
                    works.append(await check(hop, site))
                finally:
                    await asyncio.to_thread(hop.stop)
            return works

    assert asyncio.run(try_both()) == [False, True], FIXES[topic][software]
