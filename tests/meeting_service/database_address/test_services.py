"""A service of libpq's file says what the address leaves out, or the error names the file."""

from pathlib import Path

import pytest

from meeting_service.database_address import AddressError, Host, parse_address

FILE = """\
# the company's
[other]
host=elsewhere
[mine]
host=a,b
  port = 5433
# between
user=u
password=it's = sesame
dbname=d
sslmode=verify-ca
sslrootcert=/ca.pem
connect_timeout=7
options=-c jit=off

[last]
host=/run/pg
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "services"
    path.write_text(FILE)
    return path


def test_a_service_says_all_that_an_address_can(file: Path) -> None:
    read = parse_address(f"postgresql://?service=mine&servicefile={file}")
    assert read.hosts == (Host("a", 5433), Host("b", 5433))
    assert (read.user, read.password, read.database) == ("u", "it's = sesame", "d")
    assert read.tls == {"sslmode": "verify-ca", "sslrootcert": "/ca.pem"}
    assert read.settings == {"jit": "off"}
    assert read.connect_timeout_seconds == 7
    assert read.driver == {}


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("postgresql://x@h:1/y?", ((Host("h", 1),), "x", "y", "verify-ca")),
        ("postgresql://h/?user=x&", ((Host("h", 5433),), "x", "d", "verify-ca")),
        ("postgresql:///?host=h&port=1&ssl=true&", ((Host("h", 1),), "u", "d", "require")),
        ("postgresql:///y?host=/s&sslmode=disable&", ((Host("/s", 5433),), "u", "y", "disable")),
    ],
)
def test_what_the_address_says_goes_before_the_service(
    file: Path, monkeypatch: pytest.MonkeyPatch, address: str, wanted: tuple[object, ...]
) -> None:
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    read = parse_address(f"{address}service=mine")
    assert (read.hosts, read.user, read.database, read.tls["sslmode"]) == wanted


def test_without_a_file_named_it_is_the_one_in_the_home_folder(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.rename(tmp_path / ".pg_service.conf")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PGSERVICEFILE", raising=False)
    assert parse_address("service=last").hosts == (Host("/run/pg"),)


@pytest.mark.parametrize(
    ("service", "text", "words"),
    [
        ("nosuch", FILE, ["services", "no section [nosuch]"]),
        ("mine", None, ["services", "cannot be read (No such file", "servicefile=FILE"]),
        ("mine", "[mine]\nsesame", ["mine", "without '='"]),
        ("mine", "[mine]\nservice=other", ["names another"]),
        ("mine", "[mine]\nhots=h", ["hots", "did you mean"]),
    ],
)
def test_a_service_that_is_not_there_is_named_with_its_file(
    tmp_path: Path, service: str, text: str | None, words: list[str]
) -> None:
    file = tmp_path / "services"
    if text is not None:
        file.write_text(text)
    with pytest.raises(AddressError) as refused:
        parse_address(f"postgresql:///?service={service}&servicefile={file}")
    said = str(refused.value)
    assert "sesame" not in said
    for part in words:
        assert part in said
