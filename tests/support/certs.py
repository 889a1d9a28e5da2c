"""Throw-away certificates for the lab: a CA and a server certificate for localhost, made anew for each run.

The keys never leave the folder that the caller names, and nothing trusts the CA but the peers that are told
to.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files: the CA, and a server's chain and key."""

    ca: Path
    chain: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        """A server's context; no session tickets, so that nothing but the peers' own bytes is on the wire."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain, self.key)
        context.num_tickets = 0
        return context


def client_context() -> ssl.SSLContext:
    """A client's context that trusts everybody: the lab's subject is bytes, not trust."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def make_certificates(folder: Path, hosts: tuple[str, ...] = ("localhost", "127.0.0.1")) -> Certificates:
    """Write a CA and a certificate for `hosts` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    ca_key, ca_name = ec.generate_private_key(ec.SECP256R1()), _name("wsinspect lab CA")
    ca = (
        _builder(ca_name, ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = (
        _builder(_name(hosts[0]), ca_name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_alternative(host) for host in hosts]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    files = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    files.ca.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    files.chain.write_bytes(leaf.public_bytes(serialization.Encoding.PEM) + files.ca.read_bytes())
    files.key.touch(mode=0o600)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return files


@dataclass(frozen=True)
class Chain:
    """Paths of PEM files: the root, a server's own certificate, that with its issuer's, and its key."""

    ca: Path
    leaf: Path
    fullchain: Path
    key: Path


def make_chain(folder: Path, hosts: tuple[str, ...]) -> Chain:
    """Write a certificate for `hosts` that an intermediate authority has signed, whom a root has signed."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    names = [_name(f"wsinspect lab {one}") for one in ("root", "intermediate")] + [_name(hosts[0])]
    pems = []
    for number, (key, name) in enumerate(zip(keys, names, strict=True)):
        signer = max(0, number - 1)
        is_ca = number < 2
        builder = _builder(name, names[signer], key.public_key()).add_extension(
            x509.BasicConstraints(ca=is_ca, path_length=None), critical=True
        )
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[signer].public_key()), critical=False
        ).add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        if is_ca:
            builder = builder.add_extension(_usage(sign=True), critical=True)
        else:
            alternatives = x509.SubjectAlternativeName([_alternative(host) for host in hosts])
            builder = builder.add_extension(alternatives, critical=False)
        pems.append(builder.sign(keys[signer], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    files = Chain(*(folder / name for name in ("ca.pem", "cert.pem", "fullchain.pem", "privkey.pem")))
    files.ca.write_bytes(pems[0])
    files.leaf.write_bytes(pems[2])
    files.fullchain.write_bytes(pems[2] + pems[1])
    files.key.touch(mode=0o600)
    files.key.write_bytes(
        keys[2].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return files


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=sign,
        crl_sign=sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
    )


NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


def dated_certificate(folder, name, *, begin=-DAY, end=DAY, is_signed=True):
    """A certificate for 127.0.0.1, signed by a CA of its own or by itself: chain, key, and the CA."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"lab CA of {name}")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer, signed_by = (ca_key, issuer) if is_signed else (key, subject)

    def certificate(of, by, public, since, until, *, is_ca):
        return (
            x509.CertificateBuilder()
            .subject_name(of)
            .issuer_name(by)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW + since)
            .not_valid_after(NOW + until)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                critical=False,
            )
            .sign(signer, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
        )

    folder.mkdir(exist_ok=True, parents=True)
    chain, private, ca = (folder / f"{name}.{part}" for part in ("pem", "key", "ca"))
    chain.write_bytes(certificate(subject, signed_by, key.public_key(), begin, end, is_ca=False))
    if is_signed:
        ca.write_bytes(certificate(issuer, issuer, ca_key.public_key(), -99 * DAY, 99 * DAY, is_ca=True))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return chain, private, ca
