"""TLS records of a connection that somebody else made, decrypted with the secrets of an SSLKEYLOGFILE.

TLS 1.3 (RFC 8446) and TLS 1.2 with AES-GCM, ChaCha20 and AES-CBC (RFC 5246, 5288, 7905, 7366): what browsers,
older clients and servers negotiate.
The ciphers are the library cryptography's. tshark decrypts more, but holds all of a trace in memory, and
gives decrypted bytes only of a stream that is over. Keys of TLS 1.3 follow each other (handshake,
application, updates): a record that the key does not open is tried with the next one, so no handshake
message needs to be understood.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305

_CCS, _ALERT, _HANDSHAKE, _APPLICATION = 20, 21, 22, 23
_CLIENT_HELLO, _SERVER_HELLO = 1, 2
#: A record's text is 2**14 bytes at most, and a cipher adds 256 to it (RFC 8446 section 5.2; 2048 before).
_MAX_RECORD: Final = 16384 + 2048
_MAX_HELLO: Final = 1 << 18
_MAX_EARLY: Final = 64
CLOSE_NOTIFY: Final = 0
#: A ServerHello with this random asks the client to begin again (RFC 8446 section 4.1.3).
_RETRY: Final = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
_VERSIONS: Final = {0x0301: "TLSv1", 0x0302: "TLSv1.1", 0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}
_TLS12: Final = 0x0303
_TLS13: Final = 0x0304
#: Secrets that are kept; a line has some 200 bytes.
MAX_CONNECTIONS: Final = 100_000


class _Suite(NamedTuple):
    name: str
    aead: Any
    key_size: int
    digest: str
    explicit: int  # bytes of the nonce that come with each record, before TLS 1.3
    tag: int = 16
    mac: str = ""  # of a CBC cipher: the digest that authenticates a record


def _gcm(name: str, key_size: int, digest: str) -> _Suite:
    return _Suite(name, AESGCM, key_size, digest, 8)


def _cbc(name: str, key_size: int, mac: str) -> _Suite:
    # The pseudorandom function is SHA-256 with all but SHA-384 (RFC 5289 section 3.1).
    return _Suite(name, None, key_size, "sha384" if mac == "sha384" else "sha256", 16, mac=mac)


#: By their numbers at IANA; the names are OpenSSL's, as mitmproxy has them too.
_SUITES: Final = {
    0x1301: _Suite("TLS_AES_128_GCM_SHA256", AESGCM, 16, "sha256", 0),
    0x1302: _Suite("TLS_AES_256_GCM_SHA384", AESGCM, 32, "sha384", 0),
    0x1303: _Suite("TLS_CHACHA20_POLY1305_SHA256", ChaCha20Poly1305, 32, "sha256", 0),
    0x1304: _Suite("TLS_AES_128_CCM_SHA256", AESCCM, 16, "sha256", 0),
    0x009C: _gcm("AES128-GCM-SHA256", 16, "sha256"),
    0x009D: _gcm("AES256-GCM-SHA384", 32, "sha384"),
    0x009E: _gcm("DHE-RSA-AES128-GCM-SHA256", 16, "sha256"),
    0x009F: _gcm("DHE-RSA-AES256-GCM-SHA384", 32, "sha384"),
    0x002F: _cbc("AES128-SHA", 16, "sha1"),
    0x0033: _cbc("DHE-RSA-AES128-SHA", 16, "sha1"),
    0x0035: _cbc("AES256-SHA", 32, "sha1"),
    0x0039: _cbc("DHE-RSA-AES256-SHA", 32, "sha1"),
    0x003C: _cbc("AES128-SHA256", 16, "sha256"),
    0x003D: _cbc("AES256-SHA256", 32, "sha256"),
    0x0067: _cbc("DHE-RSA-AES128-SHA256", 16, "sha256"),
    0x006B: _cbc("DHE-RSA-AES256-SHA256", 32, "sha256"),
    0xC009: _cbc("ECDHE-ECDSA-AES128-SHA", 16, "sha1"),
    0xC00A: _cbc("ECDHE-ECDSA-AES256-SHA", 32, "sha1"),
    0xC013: _cbc("ECDHE-RSA-AES128-SHA", 16, "sha1"),
    0xC014: _cbc("ECDHE-RSA-AES256-SHA", 32, "sha1"),
    0xC023: _cbc("ECDHE-ECDSA-AES128-SHA256", 16, "sha256"),
    0xC024: _cbc("ECDHE-ECDSA-AES256-SHA384", 32, "sha384"),
    0xC027: _cbc("ECDHE-RSA-AES128-SHA256", 16, "sha256"),
    0xC028: _cbc("ECDHE-RSA-AES256-SHA384", 32, "sha384"),
    0xC02B: _gcm("ECDHE-ECDSA-AES128-GCM-SHA256", 16, "sha256"),
    0xC02C: _gcm("ECDHE-ECDSA-AES256-GCM-SHA384", 32, "sha384"),
    0xC02F: _gcm("ECDHE-RSA-AES128-GCM-SHA256", 16, "sha256"),
    0xC030: _gcm("ECDHE-RSA-AES256-GCM-SHA384", 32, "sha384"),
    0xCCA8: _Suite("ECDHE-RSA-CHACHA20-POLY1305", ChaCha20Poly1305, 32, "sha256", 0),
    0xCCA9: _Suite("ECDHE-ECDSA-CHACHA20-POLY1305", ChaCha20Poly1305, 32, "sha256", 0),
    0xCCAA: _Suite("DHE-RSA-CHACHA20-POLY1305", ChaCha20Poly1305, 32, "sha256", 0),
}
_LABELS: Final = {
    "CLIENT_RANDOM": "master",
    "CLIENT_EARLY_TRAFFIC_SECRET": "early",
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET": "handshake0",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET": "handshake1",
    "CLIENT_TRAFFIC_SECRET_0": "application0",
    "SERVER_TRAFFIC_SECRET_0": "application1",
}


class KeyLog:
    """Secrets by the client's random, as SSLKEYLOGFILE has them (draft-ietf-tls-keylogfile).

    Attributes:
        lines: how many were taken.
    """

    def __init__(self) -> None:
        self._secrets: dict[bytes, dict[str, bytes]] = {}
        self.lines = 0

    def add(self, text: bytes) -> None:
        """Take whole lines; others than secrets are passed over."""
        for line in text.splitlines():
            parts = line.decode("latin-1").split()
            label = _LABELS.get(parts[0]) if len(parts) == 3 else None
            if label is None or len(parts[1]) != 64 or len(parts[2]) > 128:
                continue
            try:
                random, secret = bytes.fromhex(parts[1]), bytes.fromhex(parts[2])
            except ValueError:
                continue
            if random in self._secrets or len(self._secrets) < MAX_CONNECTIONS:
                self._secrets.setdefault(random, {})[label] = secret
                self.lines += 1

    def get(self, random: bytes) -> dict[str, bytes] | None:
        """The secrets of a connection; None without any."""
        return self._secrets.get(random)


class Plain(NamedTuple):
    """What a record of a side says: `data` of the application, or the description of an alert."""

    side: int
    data: bytes
    alert: int | None = None


class NotReadableError(Exception):
    """The connection cannot be decrypted from here on; the text says why."""


class Tls:
    """One connection's records, both directions.

    Attributes:
        facts: version, cipher, sni and what ALPN the client offered, as far as they are known.
    """

    def __init__(self, secrets: KeyLog) -> None:
        self._key_log = secrets
        self._buffers = (bytearray(), bytearray())
        self._hellos = [bytearray(), bytearray()]
        self._randoms: list[bytes | None] = [None, None]
        self._keys: list[_Keys | None] = [None, None]
        self._suite: _Suite | None = None
        self._version = 0
        self._is_encrypted = [False, False]
        self._encrypts_first = False
        self._early: list[bytes] = []
        self.facts: dict[str, Any] = {}

    def feed(self, side: int, data: bytes) -> Iterator[Plain]:
        """What came from a side (0 is the client), record by record.

        Raises:
            NotReadableError: there are no secrets, or the bytes are not TLS.
        """
        buffer = self._buffers[side]
        buffer += data
        while len(buffer) >= 5:
            size = int.from_bytes(buffer[3:5], "big")
            if buffer[1] != 3 or not _CCS <= buffer[0] <= _APPLICATION + 1 or size > _MAX_RECORD:
                raise NotReadableError("the bytes are not TLS records")
            if len(buffer) < 5 + size:
                return
            record = bytes(buffer[: 5 + size])
            del buffer[: 5 + size]
            yield from self._record(side, record)

    def _record(self, side: int, record: bytes) -> Iterator[Plain]:
        kind = record[0]
        if kind == _CCS:
            self._is_encrypted[side] = True
            return
        is_hidden = kind == _APPLICATION or (self._is_encrypted[side] and self._version != _TLS13)
        if not is_hidden:
            if kind == _HANDSHAKE and self._randoms[side] is None:
                self._read_hello(side, record[5:])
                if side and self._version and self._early:
                    early, self._early = self._early, []
                    for held in early:
                        yield from self._record(0, held)
            elif kind == _ALERT and len(record) >= 7:
                yield Plain(side, b"", record[6])
            return
        if side == 0 and not self._version and self._randoms[0] is not None:
            # 0-RTT data: what it is encrypted with is not known before the server has answered.
            self._early.append(record)
            if len(self._early) > _MAX_EARLY:
                raise NotReadableError("the server's answer to its TLS hello is not in the trace")
            return
        keys = self._keys[side] or self._make_keys(side)
        inner, text = keys.open(record)
        if inner == _APPLICATION:
            if text:
                yield Plain(side, text)
        elif inner == _ALERT and len(text) >= 2:
            yield Plain(side, b"", text[1])

    # -- hellos

    def _read_hello(self, side: int, piece: bytes) -> None:
        """A ClientHello or ServerHello, which may be in several records."""
        hello = self._hellos[side]
        hello += piece
        if len(hello) < 4:
            return
        size = int.from_bytes(hello[1:4], "big")
        if size > _MAX_HELLO or hello[0] != (_SERVER_HELLO if side else _CLIENT_HELLO):
            raise NotReadableError("the TLS connection does not begin with a hello")
        if len(hello) < 4 + size:
            return
        body = bytes(hello[4 : 4 + size])
        hello.clear()
        try:
            random = body[2:34]
            if side and random == _RETRY:
                return
            self._randoms[side] = random
            (self._read_server if side else self._read_client)(body)
        except (IndexError, struct.error):
            raise NotReadableError("a damaged TLS hello") from None

    def _read_client(self, body: bytes) -> None:
        place = 35 + body[34]
        place += 2 + int.from_bytes(body[place : place + 2], "big")
        place += 1 + body[place]
        for kind, value in _extensions(body[place:]):
            if kind == 0 and len(value) > 5:
                self.facts["sni"] = value[5:].decode("latin-1")
            elif kind == 16:
                self.facts["alpn_offered"] = _names(value[2:])

    def _read_server(self, body: bytes) -> None:
        place = 35 + body[34]
        number = int.from_bytes(body[place : place + 2], "big")
        self._version = int.from_bytes(body[:2], "big")
        for kind, value in _extensions(body[place + 3 :]):
            if kind == 43:
                self._version = int.from_bytes(value[:2], "big")
            elif kind == 22:
                self._encrypts_first = True
            elif kind == 16:
                self.facts["alpn"] = next(iter(_names(value[2:])), None)
        self._suite = _SUITES.get(number)
        self.facts["version"] = _VERSIONS.get(self._version, f"0x{self._version:04x}")
        self.facts["cipher"] = self._suite.name if self._suite else f"0x{number:04x}"

    # -- keys

    def _make_keys(self, side: int) -> _Keys:
        random, suite = self._randoms[0], self._suite
        if random is None or "cipher" not in self.facts:
            raise NotReadableError("its TLS handshake is not in the trace")
        if suite is None:
            raise NotReadableError(f"the cipher {self.facts['cipher']} is not known here")
        secrets = self._key_log.get(random)
        if secrets is None:
            raise NotReadableError("no secrets")
        if self._version == _TLS13:
            names = ("early", "handshake0", "application0") if side == 0 else ("handshake1", "application1")
            found = [secrets[name] for name in names if name in secrets]
            self._keys[side] = _Keys13(suite, found)
        elif "master" in secrets and self._randoms[1] is not None:
            master, seed = secrets["master"], self._randoms[1] + random
            if not suite.mac:
                self._keys[side] = _Keys12(suite, master, seed, side)
            elif self._version == _TLS12:
                self._keys[side] = _KeysCbc(suite, master, seed, side, self._encrypts_first)
            else:
                raise NotReadableError(f"{self.facts['version']} is not read here")
        keys = self._keys[side]
        if keys is None:
            raise NotReadableError("no secrets")
        return keys


class _Keys:
    """Opens the records of a direction."""

    def open(self, record: bytes) -> tuple[int, bytes]:
        """The kind of what a record holds, and its text.

        Raises:
            NotReadableError: no key opens it.
        """
        raise NotReadableError("no secrets")


class _Keys13(_Keys):
    def __init__(self, suite: _Suite, secrets: list[bytes]) -> None:
        self._suite = suite
        self._waiting = secrets
        self._secret = b""
        self._aead: Any = None
        self._iv = 0
        self._number = 0

    def open(self, record: bytes) -> tuple[int, bytes]:
        text = self._opened(record) if self._aead is not None else None
        if text is None:
            text = self._with_next(record)
        text = text.rstrip(b"\0")
        return (text[-1], text[:-1]) if text else (0, b"")

    def _with_next(self, record: bytes) -> bytes:
        """By the secrets that have not been used, then by an update of the last one (RFC 8446 section
        7.2)."""
        for index, secret in enumerate(self._waiting):
            if (text := self._tried(secret, record)) is not None:
                del self._waiting[: index + 1]
                return text
        if self._secret:
            size = len(self._secret)
            updated = _expand_label(self._secret, "traffic upd", size, self._suite.digest)
            if (text := self._tried(updated, record)) is not None:
                return text
        raise NotReadableError("the secrets do not fit")

    def _tried(self, secret: bytes, record: bytes) -> bytes | None:
        before = self._secret, self._aead, self._iv, self._number
        key = _expand_label(secret, "key", self._suite.key_size, self._suite.digest)
        self._iv = int.from_bytes(_expand_label(secret, "iv", 12, self._suite.digest), "big")
        self._secret, self._aead, self._number = secret, self._suite.aead(key), 0
        text = self._opened(record)
        if text is None:
            self._secret, self._aead, self._iv, self._number = before
        return text

    def _opened(self, record: bytes) -> bytes | None:
        nonce = (self._iv ^ self._number).to_bytes(12, "big")
        try:
            text: bytes = self._aead.decrypt(nonce, record[5:], record[:5])
        except (InvalidTag, ValueError):
            return None
        self._number += 1
        return text


class _Keys12(_Keys):
    def __init__(self, suite: _Suite, master: bytes, seed: bytes, side: int) -> None:
        salt = 12 if suite.explicit == 0 else 4
        size = 2 * (suite.key_size + salt)
        block = _prf(master, b"key expansion" + seed, size, suite.digest)
        key = block[side * suite.key_size : (side + 1) * suite.key_size]
        place = 2 * suite.key_size + side * salt
        self._salt = block[place : place + salt]
        self._aead = suite.aead(key)
        self._suite = suite
        self._number = 0

    def open(self, record: bytes) -> tuple[int, bytes]:
        explicit, tag = self._suite.explicit, self._suite.tag
        number = struct.pack(">Q", self._number)
        text = record[5 + explicit :]
        if explicit:
            nonce = self._salt + record[5 : 5 + explicit]
        else:
            nonce = (int.from_bytes(self._salt, "big") ^ self._number).to_bytes(12, "big")
        if len(text) < tag:
            raise NotReadableError("a damaged TLS record")
        about = number + record[:3] + struct.pack(">H", len(text) - tag)
        try:
            opened = self._aead.decrypt(nonce, text, about)
        except (InvalidTag, ValueError):
            raise NotReadableError("the secrets do not fit") from None
        self._number += 1
        return record[0], opened


class _KeysCbc(_Keys):
    """TLS 1.2 with AES-CBC (RFC 5246 section 6.2.3.2).

    Args:
        encrypts_first: the MAC is that of what is encrypted (RFC 7366), not of the text.
    """

    def __init__(self, suite: _Suite, master: bytes, seed: bytes, side: int, encrypts_first: bool) -> None:
        self._mac, self._encrypts_first = suite.mac, encrypts_first
        self._size = hashlib.new(suite.mac).digest_size
        block = _prf(master, b"key expansion" + seed, 2 * (self._size + suite.key_size), suite.digest)
        self._mac_key = block[side * self._size : (side + 1) * self._size]
        place = 2 * self._size + side * suite.key_size
        self._cipher = algorithms.AES(block[place : place + suite.key_size])
        self._number = 0

    def open(self, record: bytes) -> tuple[int, bytes]:
        body, tag = record[5:], b""
        if self._encrypts_first:
            body, tag = body[: -self._size], body[-self._size :]
        if len(body) < 32 or len(body) % 16:
            raise NotReadableError("a damaged TLS record")
        decryptor = Cipher(self._cipher, modes.CBC(body[:16])).decryptor()
        text = decryptor.update(body[16:]) + decryptor.finalize()
        text = text[: -text[-1] - 1]
        if self._encrypts_first:
            covered = body
        else:
            text, tag = text[: -self._size], text[-self._size :]
            covered = text
        about = struct.pack(">Q", self._number) + record[:3] + struct.pack(">H", len(covered))
        if not hmac.compare_digest(hmac.digest(self._mac_key, about + covered, self._mac), tag):
            raise NotReadableError("the secrets do not fit")
        self._number += 1
        return record[0], text


def _expand_label(secret: bytes, label: str, size: int, digest: str) -> bytes:
    """HKDF-Expand-Label (RFC 8446 section 7.1) without a context; one or two blocks."""
    name = b"tls13 " + label.encode()
    info = struct.pack(">HB", size, len(name)) + name + b"\0"
    out = block = b""
    number = 1
    while len(out) < size:
        block = hmac.digest(secret, block + info + bytes((number,)), digest)
        out += block
        number += 1
    return out[:size]


def _prf(secret: bytes, seed: bytes, size: int, digest: str) -> bytes:
    """TLS 1.2's pseudorandom function (RFC 5246 section 5)."""
    out, state = b"", seed
    while len(out) < size:
        state = hmac.digest(secret, state, digest)
        out += hmac.digest(secret, state + seed, digest)
    return out[:size]


def _extensions(body: bytes) -> Iterator[tuple[int, bytes]]:
    place, end = 2, 2 + int.from_bytes(body[:2], "big")
    while place + 4 <= min(end, len(body)):
        kind, size = struct.unpack_from(">HH", body, place)
        yield kind, body[place + 4 : place + 4 + size]
        place += 4 + size


def _names(value: bytes) -> list[str]:
    found, place = [], 0
    while place < len(value):
        size = value[place]
        found.append(value[place + 1 : place + 1 + size].decode("latin-1"))
        place += 1 + size
    return found
