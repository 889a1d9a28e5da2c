"""TLS past mitmproxy's layers: what one session encrypts, another one decrypts, however it is cut."""

import contextlib

import pytest
from OpenSSL import SSL

from tests.support.certs import make_certificates
from wsinspect.proxy.seams import tls


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=[SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION], ids=["TLS 1.2", "TLS 1.3"])
def sessions(request, certificates):
    """A client's session and a server's after their handshake."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(request.param)
    context.set_max_proto_version(request.param)
    context.use_certificate_chain_file(str(certificates.chain))
    context.use_privatekey_file(str(certificates.key))
    client, server = SSL.Connection(context), SSL.Connection(context)
    client.set_connect_state()
    server.set_accept_state()
    for _ in range(4):
        for one, other in ((client, server), (server, client)):
            with contextlib.suppress(SSL.WantReadError):
                one.do_handshake()
            sent: list[bytes] = []
            tls.flush(one, sent.append)
            for part in sent:
                other.bio_write(part)
    return client, server


def encrypted(session: SSL.Connection, plain: bytes) -> bytes:
    sent: list[bytes] = []
    tls.encrypt(session, sent.append, plain)
    return b"".join(sent)


@pytest.mark.parametrize("size", [1, 70, 16_383, 16_384, 16_385, 65_550, 262_144, 3_000_000])
def test_what_is_encrypted_comes_out_again(sessions, size):
    client, server = sessions
    plain = bytes(range(256)) * (size // 256) + bytes(size % 256)
    assert tls.decrypt(server, encrypted(client, plain)) == (plain, False)


@pytest.mark.parametrize("piece", [1, 100, 16_384, 20_000, 70_000])
def test_records_that_arrive_in_pieces_come_out_once_each_is_whole(sessions, piece):
    client, server = sessions
    plain = bytes(range(200)) * 500
    records = encrypted(client, plain)
    came = [tls.decrypt(server, records[at : at + piece]) for at in range(0, len(records), piece)]
    assert b"".join(data for data, _ in came) == plain
    assert not any(has_ended for _, has_ended in came)


def test_small_records_that_arrive_together_come_out_together(sessions):
    client, server = sessions
    records = b"".join(encrypted(client, b"%d" % (number % 10)) for number in range(5_000))
    assert tls.decrypt(server, records) == (b"0123456789" * 500, False)


def test_nothing_comes_out_of_nothing(sessions):
    client, server = sessions
    assert tls.decrypt(server, b"") == (b"", False)
    sent: list[bytes] = []
    tls.flush(client, sent.append)
    assert sent == []


def test_bytes_before_a_close_notify_come_with_it_and_none_are_sent_after_it(sessions):
    client, server = sessions
    sent = [encrypted(client, b"last words")]
    with contextlib.suppress(SSL.Error):
        client.shutdown()
    tls.flush(client, sent.append)
    assert tls.decrypt(server, b"".join(sent)) == (b"last words", True)
    assert encrypted(client, b"too late") == b""


def test_a_broken_record_ends_its_session_and_no_other(sessions, certificates):
    client, server = sessions
    records = bytearray(encrypted(client, b"secret"))
    records[-1] ^= 1
    assert tls.decrypt(server, bytes(records)) == (b"", True)
    # OpenSSL's queue of errors is one for all sessions of a thread.
    assert encrypted(client, b"on") != b""
    assert tls.decrypt(client, b"") == (b"", False)
