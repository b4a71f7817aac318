"""What an address says: the hosts, the account, the database, and how to connect."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class AddressError(ValueError):
    """An address cannot be used; the text says what to write instead, and shows no secret."""


class Host(NamedTuple):
    """A server's name, IP address or socket folder, and its port where one is given."""

    name: str
    port: int | None = None

    def __str__(self) -> str:
        # A socket's folder may hold a colon too.
        is_ipv6 = ":" in self.name and not self.name.startswith("/")
        name = f"[{self.name}]" if is_ipv6 else self.name
        return name if self.port is None else f"{name}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class DatabaseAddress:
    """An address, taken apart.

    Shape: `tls` and `driver` are keyed by libpq's names; `settings` are the server's own, to be
    set in every session; `startup_options` is the text that a router of connections wants at the
    start; `ignored` names parameters that have no meaning for this service.
    """

    hosts: tuple[Host, ...] = ()
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str | None = None
    tls: Mapping[str, str] = field(default_factory=dict, repr=False)
    driver: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    schema: str | None = None
    startup_options: str = ""
    application_name: str = ""
    connect_timeout_seconds: float | None = None
    keepalive: Mapping[str, int] = field(default_factory=dict)
    wants_channel_binding: bool = False
    ignored: tuple[str, ...] = ()

    def __str__(self) -> str:
        hosts = ",".join(map(str, self.hosts)) or "localhost"
        return f"{hosts}/{self.database or self.user or ''}"
