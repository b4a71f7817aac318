"""TLS where the driver does not know what libpq does: the system's roots, or no check at all."""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

from meeting_service.certificates import UnusableCertificates, trusted_certificates
from meeting_service.database_address import DatabaseAddress

FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
SYSTEM = "system"


class TlsFileError(OSError):
    """A file of certificates or keys cannot be used; the text says what to do."""


def ssl_context(address: DatabaseAddress) -> ssl.SSLContext | None:
    """Return the context that the driver cannot make by itself; None where it can.

    Raises: `TlsFileError`.
    """
    tls = address.tls
    uses_system_roots = tls.get("sslrootcert") == SYSTEM
    for name in FILES:
        if name in tls and not (name == "sslrootcert" and uses_system_roots):
            _check_readable(name, tls[name])
    if "sslcert" in tls and "sslkey" in tls:
        _check_key(tls)
    if uses_system_roots:
        context = _trusting_system()
    elif tls.get("sslmode") == "no-verify":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        return None
    if "sslcert" in tls:
        context.load_cert_chain(tls["sslcert"], tls.get("sslkey"), lambda: _password(tls))
    if "sslcrl" in tls:
        context.load_verify_locations(cafile=tls["sslcrl"])
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    # Since version 17 a server may want it named.
    context.set_alpn_protocols(["postgresql"])
    return context


def _trusting_system() -> ssl.SSLContext:
    try:
        return trusted_certificates(os.environ)
    except UnusableCertificates as error:
        raise TlsFileError(f"sslrootcert=system cannot be used: {error}") from error


def _check_readable(name: str, file: str) -> None:
    try:
        if name == "sslkey":
            Path(file).read_bytes()
        else:
            # Reads certificates and lists of revoked ones alike.
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
    except ssl.SSLError as error:
        kind = "list of revoked certificates" if name == "sslcrl" else "certificate"
        raise TlsFileError(f"{name}={file} holds no {kind} in PEM; name one that does") from error
    except OSError as error:
        raise TlsFileError(
            f"{name}={file} cannot be read: {error.strerror}; name a file that is there and may be"
            " read"
        ) from error


def _check_key(tls: Mapping[str, str]) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
            tls["sslcert"], tls["sslkey"], lambda: _password(tls)
        )
    except (ssl.SSLError, OSError, ValueError) as error:
        raise TlsFileError(
            f"sslkey={tls['sslkey']} holds no key of sslcert={tls['sslcert']}, or sslpassword does"
            " not open it; correct them"
        ) from error


def _password(tls: Mapping[str, str]) -> str:
    return tls.get("sslpassword", "")
