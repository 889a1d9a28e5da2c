"""TLS as a client of ours asks for it."""

from __future__ import annotations

import ssl
from os import PathLike


def browser_like_context(ca_file: str | PathLike[str] | None = None) -> ssl.SSLContext:
    """A client's TLS context that judges certificates as browsers do.

    Python 3.13 began to demand what RFC 5280 has of extensions (`VERIFY_X509_STRICT`), such as an Authority
    Key Identifier. Browsers do not, nor does mitmproxy, and the authorities that people make at home lack it.

    Args:
        ca_file: authorities to trust in the place of the system's.

    Raises:
        OSError, ssl.SSLError: `ca_file` cannot be read.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
