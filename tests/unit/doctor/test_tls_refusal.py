"""Does a server refuse a client for having no certificate? A real one by OpenSSL, in memory."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.certs import Certificates, make_certificates
from wsinspect.doctor.tls_refusal import HUNG_UP, CertificateWatch

BY_ALERT = "client certificate required"
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(Path(tmp_path_factory.mktemp("certificates")))


def talk(
    certificates: Certificates,
    mode: ssl.VerifyMode,
    version: ssl.TLSVersion,
    *,
    step: int = 100_000,
    sends_alert: bool = True,
    then: str = "waits",
) -> CertificateWatch:
    """A handshake with a server.

    Args:
        step: bytes fed at a time.
        sends_alert: asyncio's servers abort instead.
        then: what it does once the handshake is done: `waits`, `closes` or `speaks`.
    """
    context = certificates.server_context()
    context.maximum_version = version
    context.verify_mode = mode
    context.load_verify_locations(certificates.ca)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    watch = CertificateWatch("localhost", ("http/1.1",))
    state = "shaking"
    for _ in range(6):
        incoming.write(watch.outgoing())
        try:
            if state == "shaking":
                server.do_handshake()
                state = "done"
                if then == "speaks":
                    server.write(b"hello")
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            state = "failed"
            if not sends_alert:
                outgoing.read()
        data = outgoing.read()
        for at in range(0, len(data), step):
            if not watch.is_over:
                watch.feed(data[at : at + step])
        if not watch.is_over and (state == "failed" or (state == "done" and then == "closes")):
            watch.ended()
        if watch.is_over:
            break
    return watch


@pytest.mark.parametrize("step", [1, 100_000])
@pytest.mark.parametrize(
    ("mode", "version", "options", "expected"),
    [
        (ssl.CERT_REQUIRED, V12, {}, BY_ALERT),
        (ssl.CERT_REQUIRED, V13, {}, BY_ALERT),
        (ssl.CERT_REQUIRED, V12, {"sends_alert": False}, f"{BY_ALERT}: {HUNG_UP}"),
        (ssl.CERT_REQUIRED, V13, {"sends_alert": False}, f"{BY_ALERT}: {HUNG_UP}"),
        # Asked for and not demanded: the server waits for the request, or has another reason to end.
        (ssl.CERT_OPTIONAL, V12, {"then": "closes"}, None),
        (ssl.CERT_OPTIONAL, V13, {"then": "speaks"}, None),
        (ssl.CERT_OPTIONAL, V13, {}, None),
        (ssl.CERT_NONE, V12, {}, None),
        (ssl.CERT_NONE, V13, {"then": "closes"}, None),
    ],
)
def test_a_refusal_is_told_from_what_looks_like_it(
    certificates, mode, version, options, expected, step
) -> None:
    assert talk(certificates, mode, version, step=step, **options).answer == expected


def test_who_asks_for_none_is_left_at_the_end_of_the_handshake(certificates) -> None:
    assert talk(certificates, ssl.CERT_NONE, V13).is_over
    assert not talk(certificates, ssl.CERT_OPTIONAL, V13).is_over


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_no_bytes_raise(chunks) -> None:
    watch = CertificateWatch("127.0.0.1", ("http/1.1",))
    for chunk in chunks:
        if not watch.is_over:
            watch.feed(chunk)
    watch.ended()
    assert watch.answer is None
