"""Connections to the database: which host, and how each session is set up."""

import asyncio
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias
from urllib.parse import urlencode

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from meeting_service.database_address import DatabaseAddress, Host, parse_address
from meeting_service.store.postgres.persistence_errors import DRIVER_ERRORS, NotWritableError
from meeting_service.store.postgres.statements import QUERIES
from meeting_service.store.postgres.tls import ssl_context

MAX_CONNECT_SECONDS = 60.0
MAX_HOST_SECONDS = 5.0
"""How long one host of several may take, where the address does not say: the next may be better."""

KEEPALIVE: Mapping[str, int] = {
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
"""A host that vanished without a word is noticed within a minute also by who only listens."""

_SOCKET_OPTIONS = {
    "keepalives_idle": "TCP_KEEPIDLE",
    "keepalives_interval": "TCP_KEEPINTVL",
    "keepalives_count": "TCP_KEEPCNT",
    "tcp_user_timeout": "TCP_USER_TIMEOUT",
}


class Connector:
    """Connects to the one of an address's hosts that can be written to.

    All connections of a process share one, so what a host was found to be is known to all of them.
    With `keeps_session` false the address leads to a pooler that lends a session for a transaction:
    then nothing is set for the session, and no statement stays prepared.
    """

    def __init__(self, address: DatabaseAddress, *, keeps_session: bool = True) -> None:
        self.address = address
        self.keeps_session = keeps_session
        self._first = 0

    async def connect(
        self,
        application_name: str,
        timeout_seconds: float = MAX_CONNECT_SECONDS,
        **options: Any,
    ) -> asyncpg.Connection:
        """Connect, with the settings that every session needs.

        They are set after connecting, because poolers refuse them as parameters of the start.
        `options` are the driver's own.
        Raises: what asyncpg raises when no host can be used; `NotWritableError` for a standby.
        """
        errors: list[tuple[Host | None, BaseException]] = []
        deadline = time.monotonic() + timeout_seconds
        for host in self._in_order():
            seconds = min(self._host_seconds(timeout_seconds), deadline - time.monotonic())
            try:
                async with asyncio.timeout(max(seconds, 0.0)):
                    return await self._connect_to(host, application_name, options)
            except DRIVER_ERRORS as error:
                errors.append((host, error))
                self._try_next_first(host)
            except BaseException:
                # Given up from outside, perhaps because this host does not answer.
                self._try_next_first(host)
                raise
        raise _error_of_hosts(errors)

    async def configure(
        self, connection: asyncpg.Connection | PoolConnectionProxy, *, is_local: bool
    ) -> None:
        """Set what the address asks for, in the session or, if local, in the transaction."""
        settings = self.address.settings
        if settings:
            names, values = list(settings), list(settings.values())
            await connection.execute(QUERIES["configure_as_asked"], names, values, is_local)

    def _in_order(self) -> Iterator[Host | None]:
        hosts = self.address.hosts or (None,)
        first = self._first % len(hosts)
        yield from hosts[first:] + hosts[:first]

    def _try_next_first(self, host: Host | None) -> None:
        hosts = self.address.hosts
        # Only if no other connection has found a better one meanwhile.
        if host is not None and hosts[self._first % len(hosts)] == host:
            self._first += 1

    def _host_seconds(self, timeout_seconds: float) -> float:
        wanted = self.address.connect_timeout_seconds
        if wanted is not None:
            return wanted
        return MAX_HOST_SECONDS if len(self.address.hosts) > 1 else timeout_seconds

    async def _connect_to(
        self, host: Host | None, application_name: str, options: Mapping[str, Any]
    ) -> asyncpg.Connection:
        # The time is bounded outside; without one of its own the driver would give up sooner.
        arguments = {**self._arguments(host), **options, "timeout": None}
        connection: asyncpg.Connection = await asyncpg.connect(**arguments)
        try:
            # The driver gives no other way to its socket.
            transport = connection._transport  # type: ignore[attr-defined]  # noqa: SLF001
            keep_alive(transport.get_extra_info("socket"), self.address.keepalive)
            if self.keeps_session:
                await self._set_up(connection, application_name)
        except BaseException:
            connection.terminate()
            raise
        if host is not None:
            self._first = self.address.hosts.index(host)
        return connection

    def _arguments(self, host: Host | None) -> dict[str, Any]:
        address = self.address
        files = {**address.tls, **address.driver}
        arguments: dict[str, Any] = {
            "user": address.user,
            "password": address.password,
            "database": address.database,
            # With no host of ours the driver takes those of its environment.
            "target_session_attrs": "any" if host is not None else "read-write",
        }
        if host is not None:
            arguments |= {"host": host.name, "port": host.port}
        if context := ssl_context(address):
            arguments["ssl"] = context
            files = dict(address.driver)
        if address.startup_options:
            arguments["server_settings"] = {"options": address.startup_options}
        if not self.keeps_session:
            arguments["statement_cache_size"] = 0
        # Some it reads from an address alone.
        return {"dsn": f"postgresql://?{urlencode(files)}" if files else None, **arguments}

    async def _set_up(self, connection: asyncpg.Connection, application_name: str) -> None:
        await self.configure(connection, is_local=False)
        name = application_name
        if self.address.application_name:
            name = name.replace("meetings", self.address.application_name, 1)
        facts = await connection.fetchrow(QUERIES["configure_session"], name)
        assert facts is not None
        if facts["is_standby"]:
            raise NotWritableError("it is a standby, which only reads")
        if facts["only_reads"]:
            raise NotWritableError("it only reads (default_transaction_read_only is on)")


Dsn: TypeAlias = str | Connector
"""An address, or what connects to one."""


def connector_for(dsn: Dsn) -> Connector:
    """Return the connector of an address, which may be one already.

    Raises: `AddressError`.
    """
    return dsn if isinstance(dsn, Connector) else Connector(parse_address(dsn))


def keep_alive(sock: socket.socket, wanted: Mapping[str, int]) -> None:
    """Have the system find out when the other host is gone; a local socket needs none."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    values = {**KEEPALIVE, **wanted}
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(bool(values["keepalives"])))
    for name, option in _SOCKET_OPTIONS.items():
        # Not every system has all of them; zero means its own default.
        if values.get(name) and hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), values[name])


def _error_of_hosts(errors: list[tuple[Host | None, BaseException]]) -> BaseException:
    """Return the error of the one host, or one that says what became of each of them."""
    if len(errors) == 1:
        return errors[0][1]
    for _, error in errors:
        is_refusal = isinstance(error, asyncpg.PostgresError)
        if is_refusal and not isinstance(error, asyncpg.CannotConnectNowError):
            return error
    said = "; ".join(f"{host}: {_said(error)}" for host, error in errors)
    raised = NotWritableError(f"none of the hosts can be written to: {said}")
    raised.__cause__ = errors[-1][1]
    return raised


def _said(error: BaseException) -> str:
    text = str(error)
    if "connection_lost" in text:  # the driver's word for it
        return "closed the connection"
    return text or "no answer in time"
