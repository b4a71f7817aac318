"""A certificate of a test's own, signed by itself, for a server on 127.0.0.1; no key is kept.

Made without a library, so that it needs nothing that a fresh machine may lack. Source: RFC 5280,
RFC 5915, SEC 1 and FIPS 186-4 (curve P-256).
"""

import base64
import secrets
import ssl
from datetime import UTC, datetime, timedelta
from hashlib import sha1, sha256
from ipaddress import ip_address
from pathlib import Path
from typing import TypeAlias

Point: TypeAlias = tuple[int, int] | None

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G: Point = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
SEQUENCE, SET, INTEGER, OCTETS, BITS, OID, UTF8, TIME = 48, 49, 2, 4, 3, 6, 12, 23
TRUE = b"\x01\x01\xff"


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Write a certificate and its key; return their paths."""
    key = secrets.randbelow(N - 1) + 1
    public = _times(key, G)
    assert public is not None
    point = b"\x04" + public[0].to_bytes(32) + public[1].to_bytes(32)
    curve = _oid("2a8648ce3d030107")
    signed = _certificate(point, curve)
    algorithm = _der(SEQUENCE, _oid("2a8648ce3d040302"))
    certificate = _der(SEQUENCE, signed, algorithm, _der(BITS, b"\x00", _signature(key, signed)))
    private = _der(
        SEQUENCE,
        _integer(1),
        _der(OCTETS, key.to_bytes(32)),
        _der(0xA0, curve),
        _der(0xA1, _der(BITS, b"\x00", point)),
    )
    return (
        _written(folder / "server.pem", "CERTIFICATE", certificate),
        _written(folder / "server.key", "EC PRIVATE KEY", private),
    )


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def _certificate(point: bytes, curve: bytes) -> bytes:
    now = datetime.now(UTC)
    name = _der(SEQUENCE, _der(SET, _der(SEQUENCE, _oid("550403"), _der(UTF8, b"test"))))
    public = _der(
        SEQUENCE, _der(SEQUENCE, _oid("2a8648ce3d0201"), curve), _der(BITS, b"\x00", point)
    )
    key_id = sha1(point, usedforsecurity=False).digest()
    address = _der(0x87, ip_address("127.0.0.1").packed)
    extensions = [
        _extension("551d13", _der(SEQUENCE, TRUE), TRUE),
        _extension("551d0f", _der(BITS, b"\x02\x84"), TRUE),
        _extension("551d0e", _der(OCTETS, key_id)),
        _extension("551d23", _der(SEQUENCE, _der(0x80, key_id))),
        _extension("551d11", _der(SEQUENCE, address)),
    ]
    times = [now - timedelta(hours=1), now + timedelta(hours=1)]
    return _der(
        SEQUENCE,
        _der(0xA0, _integer(2)),
        _integer(secrets.randbits(63)),
        _der(SEQUENCE, _oid("2a8648ce3d040302")),
        name,
        _der(SEQUENCE, *(_der(TIME, f"{each:%y%m%d%H%M%SZ}".encode()) for each in times)),
        name,
        public,
        _der(0xA3, _der(SEQUENCE, *extensions)),
    )


def _extension(oid: str, value: bytes, critical: bytes = b"") -> bytes:
    return _der(SEQUENCE, _oid(oid), critical, _der(OCTETS, value))


def _signature(key: int, message: bytes) -> bytes:
    digest = int.from_bytes(sha256(message).digest())
    once = secrets.randbelow(N - 1) + 1
    point = _times(once, G)
    assert point is not None
    r = point[0] % N
    return _der(SEQUENCE, _integer(r), _integer(pow(once, -1, N) * (digest + r * key) % N))


def _times(factor: int, point: Point) -> Point:
    total: Point = None
    while factor:
        if factor & 1:
            total = _plus(total, point)
        point = _plus(point, point)
        factor >>= 1
    return total


def _plus(a: Point, b: Point) -> Point:
    if a is None or b is None:
        return a or b
    if a[0] == b[0] and (a[1] + b[1]) % P == 0:
        return None
    if a == b:
        slope = 3 * (a[0] * a[0] - 1) * pow(2 * a[1], -1, P) % P
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P) % P
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def _der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + content


def _integer(value: int) -> bytes:
    return _der(INTEGER, value.to_bytes(value.bit_length() // 8 + 1))


def _oid(encoded: str) -> bytes:
    return _der(OID, bytes.fromhex(encoded))


def _written(path: Path, label: str, content: bytes) -> Path:
    text = base64.encodebytes(content).decode()
    path.write_text(f"-----BEGIN {label}-----\n{text}-----END {label}-----\n")
    return path
