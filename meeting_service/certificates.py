"""The certificates that outgoing HTTPS calls trust: the system's, or those of `SSL_CERT_*`."""

import re
import ssl
from collections.abc import Mapping
from pathlib import Path

from meeting_service.text_input import clean_value

FILE_VARIABLE = "SSL_CERT_FILE"
FOLDER_VARIABLE = "SSL_CERT_DIR"

# OpenSSL finds an authority in a folder by the hash of its name.
_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+", re.IGNORECASE)


class UnusableCertificates(ValueError):
    """What names trusted certificates names none; the message says what to do."""


def trusted_certificates(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Return a TLS context that trusts what the environment names, else what the system does.

    Raises: `UnusableCertificates`.
    """
    file, folders = (
        clean_value(environ.get(name, "")) for name in (FILE_VARIABLE, FOLDER_VARIABLE)
    )
    if file:
        context = _trusting_file(Path(file))
    elif folders:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        return _trusting_system()
    found = [each for each in folders.split(":") if each and _holds_certificates(Path(each))]
    if not file and not found:
        raise UnusableCertificates(
            f"{FOLDER_VARIABLE} is {folders}, where no certificates are, named by their hash; "
            f"run `openssl rehash` there, or unset {FOLDER_VARIABLE}"
        )
    for folder in found:
        context.load_verify_locations(capath=folder)
    return context


def _trusting_system() -> ssl.SSLContext:
    from httpx2 import create_ssl_context

    return create_ssl_context(trust_env=False)


def _trusting_file(file: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=file)
    except OSError as error:
        # An error of OpenSSL is one of the system too, with a text for its programmers.
        is_read = isinstance(error, ssl.SSLError)
        reason = "holds no certificate" if is_read else f"cannot be read: {error.strerror}"
        raise UnusableCertificates(
            f"{FILE_VARIABLE} is {file}, which {reason}; "
            "name a file with certificates in PEM, or unset it"
        ) from error
    return context


def _holds_certificates(folder: Path) -> bool:
    try:
        return any(_HASHED.fullmatch(each.name) for each in folder.iterdir())
    except OSError:
        return False
