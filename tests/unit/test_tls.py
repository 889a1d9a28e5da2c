"""Certificates are judged as browsers judge them."""

from __future__ import annotations

import contextlib
import ssl

import pytest

from tests.support.certs import dated_certificate
from wsinspect.tls import browser_like_context


def handshake(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> None:
    """A TLS handshake in memory."""
    ends = [ssl.MemoryBIO() for _ in range(4)]
    client = client_context.wrap_bio(ends[0], ends[1], server_hostname="127.0.0.1")
    server = server_context.wrap_bio(ends[2], ends[3], server_side=True)
    for _ in range(4):
        for one in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                one.do_handshake()
        ends[2].write(ends[1].read())
        ends[0].write(ends[3].read())


def test_an_authority_made_at_home_is_trusted_as_browsers_trust_it(tmp_path):
    chain, key, authority = dated_certificate(tmp_path, "home")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain, key)
    handshake(browser_like_context(str(authority)), server)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(browser_like_context(), server)
