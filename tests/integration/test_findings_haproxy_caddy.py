"""HAProxy and Caddy between two taps: healthy paths are silent, broken ones have their exact findings."""

import pytest

from tests.support.certs import make_certificates
from tests.support.hops import LOOPBACK, caddy, haproxy
from tests.support.sandwich_lab import play
from tests.support.small_servers import free_port

pytestmark = pytest.mark.lab


def ids(seen):
    return {path: (one.edge_ids, one.sandwich_ids) for path, one in seen.items()}


def test_haproxy_carries_websockets_and_ends_them_after_its_tunnel_timeout(tmp_path):
    seen = play(
        lambda origin, folder: haproxy(
            folder, f"server app {LOOPBACK}:{origin}", timeouts="timeout tunnel 2s", frontend=FRONTEND
        ),
        ["/good", "/idle", "/403", "/redirect"],
        tmp_path,
        waiting=["/idle"],
    )
    assert ids(seen) == {
        "/good": ([], []),
        "/idle": (["WS-DROP-002"], ["WS-DROP-101"]),
        "/403": (["WS-HS-010"], ["WS-HS-010", "WS-HS-103"]),
        "/redirect": (["WS-HS-005"], ["WS-HS-005", "WS-HS-103"]),
    }
    (forbidden,) = seen["/403"].edge
    assert forbidden.hop == "HAProxy"
    assert forbidden.fault_of == "hop"


FRONTEND = """
    http-request deny deny_status 403 if { path /403 }
    http-request redirect scheme https code 301 if { path /redirect }
"""


def test_haproxy_without_a_server_and_with_the_upgrade_taken_away(tmp_path):
    dead = free_port()
    backends = f"""
    use-server gone if {{ path /503 }}
    http-request del-header Upgrade if {{ path /stripped }}
    server app {LOOPBACK}:%d
    server gone {LOOPBACK}:{dead} weight 0
"""
    seen = play(
        lambda origin, folder: haproxy(folder, backends % origin), ["/good", "/503", "/stripped"], tmp_path
    )
    assert ids(seen) == {
        "/good": ([], []),
        "/503": (["WS-HS-021"], ["WS-HS-021", "WS-HS-103"]),
        "/stripped": (["WS-HS-002"], ["WS-HS-101"]),
    }


def test_haproxy_before_a_browser_that_may_speak_http2(tmp_path):
    certificates = make_certificates(tmp_path / "certificates")
    both = tmp_path / "both.pem"
    both.write_text(certificates.chain.read_text() + certificates.key.read_text())
    seen = play(
        lambda origin, folder: haproxy(
            folder, f"server app {LOOPBACK}:{origin} alpn http/1.1", bind=f" ssl crt {both} alpn h2,http/1.1"
        ),
        ["/good"],
        tmp_path,
        scheme="https",
    )
    (one,) = seen.values()
    assert one.status == 101
    # --insecure bears the lab's certificate; a browser would not.
    assert one.edge_ids == ["WS-TLS-020"]
    assert one.sandwich_ids == ["WS-TLS-020"]
    assert one.edge[0].severity == "warning"


def test_caddy_carries_websockets_and_answers_for_what_is_gone(tmp_path):
    site = f"""
    handle /good {{
        reverse_proxy {LOOPBACK}:%d
    }}
    handle /502 {{
        reverse_proxy {LOOPBACK}:{free_port()}
    }}
    handle /stripped {{
        reverse_proxy {LOOPBACK}:%d {{
            header_up -Upgrade
            header_up -Connection
        }}
    }}
    handle /page {{
        header Content-Type text/html
        respond "<!doctype html><title>app</title>"
    }}
    handle /missing {{
        respond 404
    }}
"""
    paths = ["/good", "/502", "/page", "/missing"]
    seen = play(lambda origin, folder: caddy(folder, site % (origin, origin)), paths, tmp_path)
    assert ids(seen) == {
        "/good": ([], []),
        "/502": (["WS-HS-020"], ["WS-HS-020", "WS-HS-103"]),
        "/page": (["WS-HS-004"], ["WS-HS-004", "WS-HS-103"]),
        "/missing": (["WS-HS-011"], ["WS-HS-011", "WS-HS-103"]),
    }
    (gone,) = seen["/502"].edge
    assert gone.hop == "Caddy"
