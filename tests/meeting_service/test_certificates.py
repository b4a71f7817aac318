"""Trusted certificates: the system's, a file's, a folder's, and what is none of these."""

import ssl
from pathlib import Path

import pytest

from meeting_service.certificates import UnusableCertificates, trusted_certificates


def test_without_variables_the_system_decides() -> None:
    for environ in ({}, {"SSL_CERT_FILE": "", "SSL_CERT_DIR": ""}, {"SSL_CERT_FILE": ' "" '}):
        context = trusted_certificates(environ)
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "holds no certificate"),
        (b"\x00\xff", "holds no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n", "holds no certificate"),
        (b"-----BEGIN PRIVATE KEY-----\n", "holds no certificate"),
    ],
)
def test_a_file_that_holds_none_is_named(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "some.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UnusableCertificates) as refusal:
        trusted_certificates({"SSL_CERT_FILE": f"'{file}'"})
    assert str(refusal.value) == (
        f"SSL_CERT_FILE is {file}, which {reason}; "
        "name a file with certificates in PEM, or unset it"
    )


def test_a_folder_that_holds_none_is_named(tmp_path: Path) -> None:
    for folders in ("/nowhere", str(tmp_path), f"/nowhere:{tmp_path}"):
        with pytest.raises(UnusableCertificates, match=f"SSL_CERT_DIR is {folders}, where no"):
            trusted_certificates({"SSL_CERT_DIR": folders})
    (tmp_path / "0a1b2c3d.0").touch()
    assert trusted_certificates({"SSL_CERT_DIR": f"/nowhere:{tmp_path}"}).check_hostname
