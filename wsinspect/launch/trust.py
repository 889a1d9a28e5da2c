"""How to trust a CA certificate by hand, for each system, browser and runtime: texts, made for one path."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Way:
    """What one reader has to do: shell commands, or sentences where there is none."""

    reader: str
    trust: list[str]
    undo: list[str]


def ways_to_trust(certificate: Path) -> list[Way]:
    """From the narrowest (one program, one shell) to the widest (the whole system)."""
    path = shlex.quote(str(certificate))
    nss = "sql:$HOME/.pki/nssdb"
    return [
        Way("A separate browser that trusts only this certificate", ["wsinspect browser"], []),
        Way("curl", [f"curl --cacert {path} ..."], []),
        Way("Node.js", [f"export NODE_EXTRA_CA_CERTS={path}"], ["unset NODE_EXTRA_CA_CERTS"]),
        Way(
            "Python: ssl, websockets, aiohttp, httpx",
            [f"export SSL_CERT_FILE={path}", f"or: ssl.create_default_context(cafile={str(certificate)!r})"],
            ["unset SSL_CERT_FILE"],
        ),
        Way(
            "Python: requests, websocket-client",
            [f"export REQUESTS_CA_BUNDLE={path} WEBSOCKET_CLIENT_CA_BUNDLE={path}"],
            ["unset REQUESTS_CA_BUNDLE WEBSOCKET_CLIENT_CA_BUNDLE"],
        ),
        Way(
            "Java, with a separate trust store",
            [
                f"keytool -importcert -noprompt -alias wsinspect -file {path} -keystore wsinspect.p12"
                " -storetype PKCS12 -storepass changeit",
                "java -Djavax.net.ssl.trustStore=wsinspect.p12"
                " -Djavax.net.ssl.trustStorePassword=changeit ...",
            ],
            ["rm wsinspect.p12"],
        ),
        Way(
            "Chrome, Chromium, Edge on Linux (certutil: libnss3-tools or nss-tools)",
            [f'certutil -d "{nss}" -A -t C,, -n wsinspect -i {path}'],
            [f'certutil -d "{nss}" -D -n wsinspect'],
        ),
        Way(
            "Chrome, Edge, Safari on macOS and Windows", ["these trust what the system trusts, see below"], []
        ),
        Way(
            "Firefox",
            ["Settings, Privacy & Security, View Certificates, Authorities, Import: this file, for websites"],
            ["the same list, Delete or Distrust"],
        ),
        Way(
            "Debian, Ubuntu",
            [
                f"sudo cp {path} /usr/local/share/ca-certificates/wsinspect.crt",
                "sudo update-ca-certificates",
            ],
            ["sudo rm /usr/local/share/ca-certificates/wsinspect.crt && sudo update-ca-certificates --fresh"],
        ),
        Way(
            "Fedora, RHEL",
            [f"sudo cp {path} /etc/pki/ca-trust/source/anchors/wsinspect.pem", "sudo update-ca-trust"],
            ["sudo rm /etc/pki/ca-trust/source/anchors/wsinspect.pem && sudo update-ca-trust"],
        ),
        Way(
            "macOS",
            [f"security add-trusted-cert -r trustRoot -k ~/Library/Keychains/login.keychain-db {path}"],
            [f"security remove-trusted-cert {path}"],
        ),
        Way(
            "Windows (copy the file there first)",
            ["certutil -user -addstore Root mitmproxy-ca-cert.pem"],
            ["certutil -user -delstore Root mitmproxy"],
        ),
    ]


__all__ = ["Way", "ways_to_trust"]
