"""The parameters after the `?`: libpq's own, those that providers add, and those of other clients.

Each is understood, named as ignored, or refused with what to do; none is sent to the server as a
setting just because we do not know it.
"""

import difflib
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from meeting_service.database_address.address import AddressError, DatabaseAddress, Host
from meeting_service.database_address.other_parameters import FIXED, IGNORED, NO, REFUSED, YES
from meeting_service.database_address.server_options import quoted_path, read_options

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full", "no-verify")

_ACCOUNT = {
    "user": "user",
    "username": "user",
    "password": "password",
    "dbname": "database",
    "database": "database",
}
_TLS = (
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslrootcert",
    "sslcrl",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "sslnegotiation",
)
_DRIVER = ("passfile", "krbsrvname", "gsslib")
_KEEPALIVE = (
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
)
_PATHS = ("schema", "search_path", "currentSchema")


@dataclass
class _Read:
    address: DatabaseAddress
    tls: dict[str, str] = field(default_factory=dict)
    driver: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    keepalive: dict[str, int] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    ports: str = ""
    has_hostaddr: bool = False

    def change(self, **fields: object) -> None:
        self.address = replace(self.address, **fields)  # type: ignore[arg-type]


def read_parameters(
    address: DatabaseAddress,
    pairs: Sequence[tuple[str, str]],
    read_hosts: Callable[[str], tuple[Host, ...]],
) -> DatabaseAddress:
    """Return the address with what its parameters say. Raises: `AddressError`."""
    read = _Read(address)
    for name, value in pairs:
        _read_one(read, name, value)
    hosts = read.address.hosts
    if read.hosts:
        found = [(Host(n),) if n.startswith("/") else read_hosts(n) for n in read.hosts]
        hosts = tuple(itertools.chain.from_iterable(found))
    read.change(hosts=_with_ports(hosts, read.ports))
    _settle_tls(read)
    return replace(
        read.address,
        tls=read.tls,
        driver=read.driver,
        settings=read.settings,
        keepalive=read.keepalive,
        ignored=tuple(dict.fromkeys(read.ignored)),
    )


def _read_one(read: _Read, name: str, value: str) -> None:
    if name in _READERS:
        _READERS[name](read, name, value)
    elif name in FIXED:
        _check_fixed(name, value)
    elif name in REFUSED:
        raise AddressError(f"has the parameter {name}: {REFUSED[name]}")
    elif name in IGNORED:
        read.ignored.append(name)
    else:
        raise AddressError(f"has the parameter {_shown(name)}, which is not known: {_advice(name)}")


def _check_fixed(name: str, value: str) -> None:
    allowed, remedy = FIXED[name]
    if value.lower() not in allowed:
        raise AddressError(f"has {name} with a value that cannot be used: {remedy}")


def _shown(name: str) -> str:
    return name if re.fullmatch(r"[\w.-]{1,64}", name) else "(not a name)"


def _advice(name: str) -> str:
    spellings = {each.lower(): each for each in sorted(KNOWN)}
    close = difflib.get_close_matches(name.lower(), spellings, n=1, cutoff=0.75)
    if close:
        return f"did you mean {spellings[close[0]]}?"
    shown = name if re.fullmatch(r"[\w.]{1,64}", name) else "NAME"
    return f"leave it out; a setting of the server is given as options=-c%20{shown}%3DVALUE"


def _host(read: _Read, name: str, value: str) -> None:
    if name == "hostaddr":
        read.has_hostaddr = True
    if value and (read.has_hostaddr and (read.hosts or read.address.hosts)):
        raise AddressError("has both a host and hostaddr; leave one of them out")
    read.hosts += [each for each in value.split(",") if each]


def _port(read: _Read, _: str, value: str) -> None:
    read.ports = value


def _with_ports(hosts: tuple[Host, ...], ports: str) -> tuple[Host, ...]:
    """Give each host without a port its own of the list, or the only one."""
    if not ports:
        return hosts
    numbers = [_number("port", each, 1, 65_535) for each in ports.split(",")]
    wanted = hosts or (Host("localhost"),)
    if len(numbers) == 1:
        numbers *= len(wanted)
    if len(numbers) != len(wanted):
        raise AddressError(f"has {len(wanted)} hosts and {len(numbers)} ports; give each its own")
    return tuple(Host(h.name, h.port or n) for h, n in zip(wanted, numbers, strict=True))


def _account(read: _Read, name: str, value: str) -> None:
    if value:
        read.change(**{_ACCOUNT[name]: value})


def _tls(read: _Read, name: str, value: str) -> None:
    if value:
        read.tls[name] = value


def _ssl_mode(read: _Read, _: str, value: str) -> None:
    if value not in SSL_MODES:
        raise AddressError(f"has an sslmode that is not known: write {', '.join(SSL_MODES[:-1])}")
    read.tls["sslmode"] = value


def _ssl(read: _Read, _: str, value: str) -> None:
    """Read `ssl=true`, as some drivers write it, or a mode."""
    word = value.lower()
    mode = "require" if word in YES else "disable" if word in NO else word
    _ssl_mode(read, "sslmode", mode)


def _ssl_accept(read: _Read, _: str, value: str) -> None:
    modes = {"strict": "verify-full", "accept_invalid_certs": "no-verify"}
    if value not in modes:
        raise AddressError("has an sslaccept that is not known: write sslmode=verify-full instead")
    read.tls["sslmode"] = modes[value]


def _settle_tls(read: _Read) -> None:
    mode = read.tls.get("sslmode")
    if read.tls.get("sslrootcert") == "system":
        if mode in ("disable", "no-verify"):
            raise AddressError(
                f"has sslrootcert=system and sslmode={mode}, which exclude each other:"
                " write sslmode=verify-full"
            )
        read.tls["sslmode"] = "verify-full"
    elif read.address.wants_channel_binding:
        if mode == "disable":
            raise AddressError(
                "has channel_binding=require and sslmode=disable, which exclude each other:"
                " write sslmode=require"
            )
        if mode in (None, "allow", "prefer"):
            read.tls["sslmode"] = "require"


def _channel_binding(read: _Read, _: str, value: str) -> None:
    if value not in ("disable", "prefer", "require"):
        raise AddressError("has a channel_binding that is not known: leave it out")
    read.change(wants_channel_binding=value == "require")


def _driver(read: _Read, name: str, value: str) -> None:
    if name == "gsslib" and value not in ("gssapi", "sspi"):
        raise AddressError("has a gsslib that is not known: write gssapi or leave it out")
    read.driver[name] = value


def _keepalive(read: _Read, name: str, value: str) -> None:
    read.keepalive[name] = _number(name, value, 0, 2**31 - 1)


def _connect_timeout(read: _Read, name: str, value: str) -> None:
    seconds = _number(name, value, -1, 86_400)
    # As libpq has it: zero and less wait for ever, here for as long as the service waits.
    read.change(connect_timeout_seconds=float(seconds) if seconds > 0 else None)


def _search_path(read: _Read, name: str, value: str) -> None:
    names = [value] if name == "schema" else value.split(",")
    cleaned = [each.strip().strip('"') for each in names if each.strip().strip('"')]
    if not cleaned:
        raise AddressError(f"has an empty {name}; name a schema or leave it out")
    read.settings["search_path"] = quoted_path(cleaned)
    if name == "schema":
        read.change(schema=cleaned[0])


def _options(read: _Read, _: str, value: str) -> None:
    settings, rest = read_options(value)
    for name in settings:
        # The server's names have no case.
        if name.lower() in FIXED:
            _check_fixed(name.lower(), settings[name])
    read.settings |= settings
    read.change(startup_options=rest)


def _application_name(read: _Read, _: str, value: str) -> None:
    read.change(application_name=value)


def _number(name: str, value: str, minimum: int, maximum: int) -> int:
    try:
        number = int(value)
    except ValueError:
        number = minimum - 1
    if not minimum <= number <= maximum:
        raise AddressError(f"has a {name} that is no whole number from {minimum} to {maximum:,}")
    return number


_READERS: Mapping[str, Callable[[_Read, str, str], None]] = {
    **dict.fromkeys(("host", "hostaddr"), _host),
    "port": _port,
    **dict.fromkeys(_ACCOUNT, _account),
    **dict.fromkeys(_TLS, _tls),
    **dict.fromkeys(_DRIVER, _driver),
    **dict.fromkeys(_KEEPALIVE, _keepalive),
    **dict.fromkeys(_PATHS, _search_path),
    "sslmode": _ssl_mode,
    "ssl": _ssl,
    "sslaccept": _ssl_accept,
    "channel_binding": _channel_binding,
    **dict.fromkeys(("connect_timeout", "connectTimeout", "loginTimeout"), _connect_timeout),
    "options": _options,
    **dict.fromkeys(("application_name", "ApplicationName"), _application_name),
}
_SERVICE = ("service", "servicefile")
KNOWN = frozenset({*_READERS, *_SERVICE, *FIXED, *REFUSED, *IGNORED})
