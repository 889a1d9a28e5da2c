"""Certificates and TLS sessions as the plain values that `ConnectionFacts.server_tls` has."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsinspect.errors import UsageError
from wsinspect.tls import browser_like_context

if TYPE_CHECKING:  # a tenth of a second that a `ws` URL does not need
    from cryptography import x509


def certificate_facts(der: bytes | None) -> dict[str, Any] | None:
    """Subject, issuer, names and dates of a certificate; None where none can be read."""
    if not der:
        return None
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    try:
        one = x509.load_der_x509_certificate(der)
        return {
            "subject": one.subject.rfc4514_string(),
            "issuer": one.issuer.rfc4514_string(),
            "sans": _names(one),
            "not_before": one.not_valid_before_utc.isoformat(),
            "not_after": one.not_valid_after_utc.isoformat(),
            "sha256": one.fingerprint(hashes.SHA256()).hex(),
        }
    except ValueError:
        return None


def _names(one: x509.Certificate) -> list[str]:
    from cryptography import x509

    try:
        names = one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension):
        return []
    return [str(name.value) for name in names]


def trusting(files: Sequence[Path]) -> ssl.SSLContext:
    """A client's context that trusts the system's authorities, those of mitmproxy, and those in `files`.

    Raises:
        UsageError: a file is not a certificate.
    """
    import certifi

    context = browser_like_context()
    context.load_verify_locations(certifi.where())
    for file in files:
        try:
            context.load_verify_locations(file)
        except ssl.SSLError:
            raise UsageError(f"{file} has no certificate that can be read", hint="give a PEM file") from None
    return context


def trusting_all(alpn: Sequence[str]) -> ssl.SSLContext:
    """A client's context that takes any certificate: to look at one that is not trusted."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(list(alpn))
    return context


def session_facts(
    session: ssl.SSLObject | ssl.SSLSocket | None, *, sni: str, alpn: Sequence[str], verify_error: str | None
) -> dict[str, Any]:
    """What was agreed in a TLS handshake.

    Args:
        session: None where the handshake failed before there was a certificate.
    """
    cipher = session.cipher() if session else None
    return {
        "version": session.version() if session else None,
        "cipher": cipher[0] if cipher else None,
        "sni": sni,
        "alpn": session.selected_alpn_protocol() if session else None,
        "alpn_offered": list(alpn),
        "verified": session is not None and verify_error is None,
        "verify_error": verify_error,
        "certificate": certificate_facts(session.getpeercert(binary_form=True)) if session else None,
    }
