"""The parameter `service`: a section of libpq's file of services, as parameters of the address."""

import os
from collections.abc import Sequence
from pathlib import Path

from meeting_service.database_address.address import AddressError, DatabaseAddress

NAME = ".pg_service.conf"

Pairs = Sequence[tuple[str, str]]

# What libpq takes for the same, so that the address's own goes before the service's.
_SAME = {"hostaddr": "host", "username": "user", "database": "dbname", "ssl": "sslmode"}


def with_service(address: DatabaseAddress, pairs: Pairs) -> list[tuple[str, str]]:
    """Return the parameters, before them what the service says that they name.

    What the address says itself is left out of that. Raises: `AddressError`.
    """
    own = [(name, value) for name, value in pairs if name not in ("service", "servicefile")]
    named = dict(pairs)
    service = named.get("service")
    if not service:
        return own
    said = {_same(name) for name, _ in own}
    if address.hosts:
        said.add("host")
        if all(host.port for host in address.hosts):
            said.add("port")
    for name, value in (
        ("user", address.user),
        ("password", address.password),
        ("dbname", address.database),
    ):
        if value:
            said.add(name)
    found = _section(service, _file(named.get("servicefile")))
    return [pair for pair in found if _same(pair[0]) not in said] + own


def _same(name: str) -> str:
    return _SAME.get(name, name)


def _file(given: str | None) -> Path:
    if named := given or os.environ.get("PGSERVICEFILE"):
        return Path(named)
    try:
        return Path.home() / NAME
    except RuntimeError:
        raise AddressError(
            "names a service, and this user has no home folder: add servicefile=FILE"
        ) from None


def _section(service: str, file: Path) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] | None = None
    for line in _lines(service, file):
        if line.startswith("["):
            if found is not None:
                break
            found = [] if line == f"[{service}]" else None
        elif found is not None:
            name, separator, value = line.partition("=")
            if not separator:
                raise AddressError(f"names the service {service}, which has a line without '='")
            if name.strip() in ("service", "servicefile"):
                raise AddressError(f"names the service {service}, which names another")
            found.append((name.strip(), value.strip()))
    if found is None:
        raise AddressError(
            f"names the service {service}, and {file} has no section [{service}]: add it, or"
            " correct the name"
        )
    return found


def _lines(service: str, file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise AddressError(
            f"names the service {service}, and its file {file} cannot be read"
            f" ({error.strerror}): name another with servicefile=FILE or PGSERVICEFILE"
        ) from error
    except UnicodeDecodeError:
        raise AddressError(f"names a service, and its file {file} is not in UTF-8") from None
    return [line for each in lines if (line := each.strip()) and not line.startswith("#")]
