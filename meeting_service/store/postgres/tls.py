"""TLS where the driver does not know what libpq does: the system's roots, or no check at all."""

import ssl
from pathlib import Path

from meeting_service.database_address import DatabaseAddress

FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
SYSTEM = "system"


class TlsFileError(OSError):
    """A file that the address names cannot be read."""


def ssl_context(address: DatabaseAddress) -> ssl.SSLContext | None:
    """Return the context that the driver cannot make by itself; None where it can.

    Raises: `TlsFileError`.
    """
    tls = address.tls
    uses_system_roots = tls.get("sslrootcert") == SYSTEM
    for name in FILES:
        if name in tls and not (name == "sslrootcert" and uses_system_roots):
            _check_readable(name, tls[name])
    if uses_system_roots:
        context = ssl.create_default_context()
    elif tls.get("sslmode") == "no-verify":
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        return None
    if "sslcert" in tls:
        password = tls.get("sslpassword", "")
        context.load_cert_chain(tls["sslcert"], tls.get("sslkey"), lambda: password)
    if "sslcrl" in tls:
        context.load_verify_locations(cafile=tls["sslcrl"])
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    # Since version 17 a server may want it named.
    context.set_alpn_protocols(["postgresql"])
    return context


def _check_readable(name: str, file: str) -> None:
    try:
        with Path(file).open("rb"):
            pass
    except OSError as error:
        raise TlsFileError(f"{name}={file} cannot be read: {error.strerror}") from error
