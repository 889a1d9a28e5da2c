"""Our certificate authority on disk: made once by mitmproxy, read here for those who are to trust it.

The folder holds mitmproxy's own files, so a user can put their own authority there as `mitmproxy-ca.pem` (key
and certificate). mitmproxy gives every certificate that it makes for a host the public key of the authority
itself: whoever pins that one key (`spki_sha256`) trusts them all, and nothing else.
"""

from __future__ import annotations

import base64
import datetime
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from wsinspect.errors import LocalError, UsageError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_BASENAME = "mitmproxy"


@dataclass(frozen=True)
class Authority:
    """The certificate that clients have to trust.

    Attributes:
        certificate: the PEM file without the key.
        sha256: of the certificate, as hexadecimal digits.
        spki_sha256: of its public key (SubjectPublicKeyInfo), as base64.
    """

    certificate: Path
    subject: str
    sha256: str
    spki_sha256: str
    not_before: datetime.datetime
    not_after: datetime.datetime

    def is_valid_at(self, moment: datetime.datetime) -> bool:
        return self.not_before <= moment <= self.not_after


def ensure_authority(ca_dir: Path) -> Authority:
    """The authority in a folder that exists; made when there is none yet.

    Raises:
        LocalError: it cannot be read or made.
    """
    both = ca_dir / f"{_BASENAME}-ca.pem"
    try:
        if not both.exists():
            _make(ca_dir)
        return _read(both, ca_dir / f"{_BASENAME}-ca-cert.pem")
    except OSError as error:
        raise LocalError(f"{error.filename or ca_dir}: {error.strerror}") from error


def trust_file(files: Sequence[Path]) -> Path:
    """A private temporary file with these authorities and the usual ones (certifi's, which mitmproxy trusts).

    mitmproxy takes one file, and trusts what is in it instead of the usual ones.

    Raises:
        UsageError: a file cannot be read, or holds no certificate.
    """
    import certifi
    from cryptography import x509

    parts = [Path(certifi.where()).read_bytes()]
    for path in files:
        try:
            data = path.read_bytes()
            x509.load_pem_x509_certificates(data)
        except OSError as error:
            raise UsageError(f"--ca {path}: {error.strerror}") from error
        except ValueError as error:
            raise UsageError(
                f"--ca {path}: no certificate in it", hint="give the CA's certificate as a PEM file"
            ) from error
        parts.append(data)
    handle, name = tempfile.mkstemp(prefix="wsinspect-ca-", suffix=".pem")
    with os.fdopen(handle, "wb") as file:
        file.write(b"\n".join(parts))
    return Path(name)


def _make(ca_dir: Path) -> None:
    from mitmproxy.certs import CertStore
    from mitmproxy.options import Options

    CertStore.from_store(ca_dir, _BASENAME, Options().key_size)


def _read(both: Path, alone: Path) -> Authority:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        certificate = x509.load_pem_x509_certificates(both.read_bytes())[0]
    except ValueError as error:
        raise LocalError(
            f"{both} holds no certificate", hint="move it away, and a new CA is created"
        ) from error
    _write_alone(certificate, alone)
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Authority(
        alone,
        certificate.subject.rfc4514_string(),
        sha256(certificate.public_bytes(Encoding.DER)).hexdigest(),
        base64.b64encode(sha256(key).digest()).decode(),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )


def _write_alone(certificate: Certificate, path: Path) -> None:
    """A user's own authority may lack the file without the key, or have an old one."""
    from cryptography.hazmat.primitives.serialization import Encoding

    pem = certificate.public_bytes(Encoding.PEM)
    if not path.exists() or path.read_bytes().replace(b"\r\n", b"\n") != pem:
        path.write_bytes(pem)


__all__ = ["Authority", "ensure_authority", "trust_file"]
