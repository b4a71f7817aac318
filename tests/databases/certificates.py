"""A certificate authority of the tests' own, and a certificate for the loopback address."""

import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.databases.programs import own, own_folder

DAYS = "2"


class Certificates(NamedTuple):
    """Files: the authority's certificate, and the server's with its key."""

    authority: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    made = own_folder(folder / "certificates")
    made.chmod(0o755)
    authority, authority_key = made / "authority.pem", made / "authority.key"
    certificate, key = made / "server.pem", made / "server.key"
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    signed = ("-CA", authority, "-CAkey", authority_key, "-addext", "basicConstraints=CA:FALSE")
    named = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    common = ("req", "-x509", *new_key, "-days", DAYS)
    _openssl(*common, "-subj", "/CN=tests", "-keyout", authority_key, "-out", authority)
    _openssl(*common, *named, *signed, "-keyout", key, "-out", certificate)
    for path in (authority, certificate, key):
        own(path)
    return Certificates(authority, certificate, key)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
