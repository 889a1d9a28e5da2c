"""`wsinspect ca`: the certificate is made once, named exactly, and trusted in the ways that it tells."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import shutil
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.certs import make_certificates
from tests.support.engine import Engine, private_environment
from tests.support.page_server import PageServer
from wsinspect.cli.ca import ca
from wsinspect.errors import LocalError
from wsinspect.launch.trust import ways_to_trust
from wsinspect.proxy.authority import ensure_authority


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path / "wsinspect/ca"


def test_it_is_made_once_and_its_key_is_private(home):
    first = CliRunner().invoke(ca, ["--path"])
    path = home / "mitmproxy-ca-cert.pem"
    assert (first.exit_code, first.stdout) == (0, f"{path}\n")
    pem = path.read_bytes()
    assert b"PRIVATE" not in pem
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "mitmproxy-ca.pem").stat().st_mode & 0o777 == 0o600
    assert CliRunner().invoke(ca, ["--path"]).exit_code == 0
    assert path.read_bytes() == pem


def test_json_names_it_exactly(home):
    done = CliRunner().invoke(ca, ["--json"])
    told = json.loads(done.stdout)
    certificate = x509.load_pem_x509_certificate(Path(told["certificate"]).read_bytes())
    assert told["schema"] == 1
    assert told["sha256"] == hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert told["spki_sha256"] == base64.b64encode(hashlib.sha256(key).digest()).decode()
    assert datetime.datetime.fromisoformat(told["not_after"]) == certificate.not_valid_after_utc
    assert told["is_valid"] is True
    assert {"for", "trust", "undo"} == set(told["trust"][0])


def test_text_has_the_fingerprint_as_browsers_show_it(home):
    lines = CliRunner().invoke(ca).stdout.splitlines()
    sha256 = ensure_authority(home).sha256.upper()
    assert lines[2] == "SHA-256      " + ":".join(sha256[at : at + 2] for at in range(0, 64, 2))
    for reader in ("Debian, Ubuntu", "Fedora, RHEL", "macOS", "Firefox", "Node.js", "curl"):
        assert reader in lines
    assert f"  export NODE_EXTRA_CA_CERTS={home / 'mitmproxy-ca-cert.pem'}" in lines


def test_a_path_with_spaces_is_quoted():
    for way in ways_to_trust(Path("/my ca/x.pem")):
        for line in way.trust + way.undo:
            assert "/my ca" not in line.replace("'/my ca/x.pem'", "")


def test_ones_own_authority_is_taken_and_an_expired_one_is_said(home, tmp_path, monkeypatch):
    made = make_certificates(tmp_path / "own")
    home.mkdir(parents=True)
    (home / "mitmproxy-ca.pem").write_bytes(made.key.read_bytes() + made.ca.read_bytes())
    done = CliRunner().invoke(ca, ["--json"], standalone_mode=False)
    told = json.loads(done.stdout)
    assert (done.return_value, told["subject"]) == (0, "CN=wsinspect lab CA")
    assert Path(told["certificate"]).read_bytes() == made.ca.read_bytes()

    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=31)

    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return later

    monkeypatch.setattr("wsinspect.cli.ca.datetime.datetime", Later)
    done = CliRunner().invoke(ca, standalone_mode=False)
    assert done.return_value == 1
    assert "NOT VALID NOW" in done.stdout


def test_a_file_that_is_not_a_certificate_is_one_line(home):
    home.mkdir(parents=True)
    (home / "mitmproxy-ca.pem").write_text("nothing")
    done = CliRunner().invoke(ca)
    assert isinstance(done.exception, LocalError)
    assert "holds no certificate" in str(done.exception)


CLIENTS = {
    "curl": ["curl", "--silent", "--show-error", "--cacert", "{ca}", "--proxy", "{proxy}", "{url}"],
    "node": [
        "node",
        "-e",
        # An HTTPS proxy is not in Node's own client: CONNECT by hand, then TLS with the default trust.
        "const [proxy, url] = process.argv.slice(1).map((text) => new URL(text));"
        "const way = { host: proxy.hostname, port: proxy.port, method: 'CONNECT', path: url.host };"
        "require('http').request(way).on('connect', (answer, socket) =>"
        " require('tls').connect({ socket, servername: url.hostname },"
        " function () { console.log(this.authorized); this.end(); })).end();",
        "{proxy}",
        "{url}",
    ],
    "python": [
        sys.executable,
        "-c",
        "import sys, urllib.request as r;"
        "o = r.build_opener(r.ProxyHandler({'https': sys.argv[1]})); print(o.open(sys.argv[2]).status)",
        "{proxy}",
        "{url}",
    ],
}


@pytest.fixture(scope="module")
def proxied_page(tmp_path_factory):
    """(environment, values for CLIENTS): an engine and an https page behind it."""
    folder = tmp_path_factory.mktemp("trust")
    with (
        PageServer(make_certificates(folder / "certs").server_context()) as pages,
        Engine.start("--listen", "0", "--insecure", folder=folder) as engine,
    ):
        yield (
            private_environment(folder),
            {
                "ca": str(folder / "data/wsinspect/ca/mitmproxy-ca-cert.pem"),
                "proxy": f"http://127.0.0.1:{engine.port('regular')}",
                "url": f"https://localhost:{pages.tls_port}/",
            },
        )


@pytest.mark.parametrize(
    "client",
    ["python", pytest.param("curl", marks=pytest.mark.lab), pytest.param("node", marks=pytest.mark.lab)],
)
def test_only_a_client_that_is_given_the_authority_trusts_it(client, proxied_page):
    environment, values = proxied_page
    trusting = {"NODE_EXTRA_CA_CERTS": values["ca"], "SSL_CERT_FILE": values["ca"]}
    for name in ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "no_proxy", "NO_PROXY"):
        environment.pop(name, None)
    assert shutil.which(CLIENTS[client][0])
    words = [
        word.format(**values) if word.startswith("{") and word.endswith("}") else word
        for word in CLIENTS[client]
    ]
    told = subprocess.run(words, env={**environment, **trusting}, capture_output=True, text=True, timeout=60)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout
    strangers = [word for word in words if word not in ("--cacert", values["ca"])]
    other = subprocess.run(strangers, env=environment, capture_output=True, text=True, timeout=60)
    assert other.returncode != 0
    assert "certificate" in other.stderr.lower()


def test_every_leaf_has_the_authoritys_key(proxied_page):
    """What `wsinspect browser` lets Chromium trust."""
    _, values = proxied_page
    authority = ensure_authority(Path(values["ca"]).parent)
    keys = set()
    for name in ("localhost", "other.example"):
        pem = _leaf_of(values["proxy"], values["url"], name)
        key = x509.load_pem_x509_certificate(pem.encode()).public_key()
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        keys.add(base64.b64encode(hashlib.sha256(der).digest()).decode())
    assert keys == {authority.spki_sha256}


def _leaf_of(proxy: str, url: str, name: str) -> str:
    host, port = proxy.removeprefix("http://").split(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((host, int(port)), 10) as sock:
        target = url.removeprefix("https://").rstrip("/")
        sock.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        assert b" 200 " in sock.recv(4096)
        with context.wrap_socket(sock, server_hostname=name) as secure:
            der = secure.getpeercert(binary_form=True)
    assert der is not None
    return ssl.DER_cert_to_PEM_cert(der)
