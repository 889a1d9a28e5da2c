"""Against OpenSSL: both ends are its, what it writes to SSLKEYLOGFILE opens the records."""

from __future__ import annotations

import ssl
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.certs import Certificates, make_certificates
from tests.support.packets import CLIENT, SERVER, Tcp, Tls, Wire
from wsinspect.formats.packets.link import Segment, dissect
from wsinspect.formats.packets.tls import CLOSE_NOTIFY, KeyLog, NotReadableError, Plain
from wsinspect.formats.packets.tls import Tls as Reader

#: OpenSSL's SSL_OP_NO_ENCRYPT_THEN_MAC: CBC as it was before RFC 7366.
MAC_FIRST = ssl.Options(1 << 19)
V12 = {"maximum_version": ssl.TLSVersion.TLSv1_2}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


class Spoken:
    """What two ends said over TLS: the bytes on the wire, and the secrets."""

    def __init__(self, folder: Path, certificates: Certificates, **options: object) -> None:
        self._wire = Wire()
        path = folder / "keys.log"
        path.unlink(missing_ok=True)
        self.tls = Tls(Tcp(self._wire), certificates, path, **options).handshake()
        self._path = path

    @property
    def secrets(self) -> KeyLog:
        found = KeyLog()
        found.add(self._path.read_bytes())
        return found

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        for time_ns, data in self._wire.packets:
            segment = dissect(1, data)
            assert isinstance(segment, Segment)
            assert time_ns
            yield int(segment.source[3] == 2), segment.data


def spoken(folder: Path, certificates: Certificates, **options: object) -> Spoken:
    made = Spoken(folder, certificates, **options)
    made.tls.send(CLIENT, b"hello")
    made.tls.send(SERVER, b"world" * 10_000)
    made.tls.send(CLIENT, b"again")
    made.tls.close(SERVER)
    return made


def read(made: Spoken, *, at_once: int | None = None) -> tuple[list[bytes], list[Plain], Reader]:
    reader = Reader(made.secrets)
    texts, alerts = [b"", b""], []
    for side, data in made.pieces():
        step = at_once or len(data) or 1
        for place in range(0, len(data), step):
            for plain in reader.feed(side, data[place : place + step]):
                texts[plain.side] += plain.data
                alerts += [plain] if plain.alert is not None else []
    return texts, alerts, reader


def fed(reader: Reader, made: Spoken, sides: Collection[int] = (CLIENT, SERVER)) -> None:
    for side, data in made.pieces():
        if side in sides:
            list(reader.feed(side, data))


@pytest.mark.parametrize(
    ("options", "version", "cipher"),
    [
        ({}, "TLSv1.3", "TLS_AES_256_GCM_SHA384"),
        ({**V12, "ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256"}, "TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        ({**V12, "ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384"}, "TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384"),
        ({**V12, "ciphers": "ECDHE-ECDSA-CHACHA20-POLY1305"}, "TLSv1.2", "ECDHE-ECDSA-CHACHA20-POLY1305"),
        ({**V12, "ciphers": "ECDHE-ECDSA-AES128-SHA"}, "TLSv1.2", "ECDHE-ECDSA-AES128-SHA"),
        ({**V12, "ciphers": "ECDHE-ECDSA-AES256-SHA"}, "TLSv1.2", "ECDHE-ECDSA-AES256-SHA"),
        ({**V12, "ciphers": "ECDHE-ECDSA-AES128-SHA256"}, "TLSv1.2", "ECDHE-ECDSA-AES128-SHA256"),
        ({**V12, "ciphers": "ECDHE-ECDSA-AES256-SHA384"}, "TLSv1.2", "ECDHE-ECDSA-AES256-SHA384"),
        (
            {**V12, "ciphers": "ECDHE-ECDSA-AES128-SHA256", "options": MAC_FIRST},
            "TLSv1.2",
            "ECDHE-ECDSA-AES128-SHA256",
        ),
        (
            {**V12, "ciphers": "ECDHE-ECDSA-AES256-SHA", "options": MAC_FIRST},
            "TLSv1.2",
            "ECDHE-ECDSA-AES256-SHA",
        ),
    ],
)
@pytest.mark.parametrize("at_once", [None, 7])
def test_both_directions_are_read(
    tmp_path: Path,
    certificates: Certificates,
    options: dict[str, object],
    version: str,
    cipher: str,
    at_once: int | None,
) -> None:
    texts, alerts, reader = read(spoken(tmp_path, certificates, **options), at_once=at_once)
    assert texts == [b"helloagain", b"world" * 10_000]
    assert Plain(SERVER, b"", CLOSE_NOTIFY) in alerts
    assert reader.facts["version"] == version
    assert reader.facts["cipher"] == cipher
    assert reader.facts["sni"] == "chat.example"


def test_without_secrets_it_says_so(tmp_path: Path, certificates: Certificates) -> None:
    made = spoken(tmp_path, certificates)
    reader = Reader(KeyLog())
    with pytest.raises(NotReadableError, match="no secrets"):
        fed(reader, made)
    assert reader.facts["sni"] == "chat.example"


def test_secrets_of_another_connection_do_not_fit(tmp_path: Path, certificates: Certificates) -> None:
    cbc = {**V12, "ciphers": "ECDHE-ECDSA-AES128-SHA256"}
    for options in ({}, V12, cbc, {**cbc, "options": MAC_FIRST}):
        made = spoken(tmp_path, certificates, **options)
        log = KeyLog()
        text = (tmp_path / "keys.log").read_text()
        log.add("\n".join(line[:-4] + "0000" for line in text.splitlines()).encode())
        reader = Reader(log)
        with pytest.raises(NotReadableError, match="do not fit"):
            fed(reader, made)


def test_another_cipher_is_named(tmp_path: Path, certificates: Certificates) -> None:
    made = spoken(tmp_path, certificates, **V12, ciphers="ECDHE-ECDSA-AES128-CCM")
    with pytest.raises(NotReadableError, match="the cipher 0xc0ac is not known here"):
        read(made)


def test_a_missing_hello_is_said(tmp_path: Path, certificates: Certificates) -> None:
    made = spoken(tmp_path, certificates)
    reader = Reader(made.secrets)
    with pytest.raises(NotReadableError, match="not in the trace"):
        fed(reader, made, {SERVER})


def test_lines_that_are_no_secrets_are_passed_over() -> None:
    log = KeyLog()
    log.add(b"# a comment\nCLIENT_RANDOM zz 00\nCLIENT_RANDOM 00 11\n\xff\xff\nRSA 00 11\n")
    assert log.lines == 0
    log.add(b"CLIENT_RANDOM " + b"ab" * 32 + b" " + b"cd" * 48 + b"\n")
    assert log.get(b"\xab" * 32) == {"master": b"\xcd" * 48}


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Spoken:
    return spoken(tmp_path_factory.mktemp("once"), certificates)


@given(place=st.integers(0, 3000), noise=st.binary(min_size=1, max_size=40))
def test_damage_ends_the_reading_and_raises_nothing_else(once: Spoken, place: int, noise: bytes) -> None:
    reader = Reader(once.secrets)
    at = 0
    for side, data in once.pieces():
        start = max(0, place - at)
        if start < len(data):
            data = (data[:start] + noise + data[start + len(noise) :])[: len(data)]
        at += len(data)
        try:
            list(reader.feed(side, data))
        except NotReadableError:
            break
