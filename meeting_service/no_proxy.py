"""Where an outgoing call goes, and whether an entry of `NO_PROXY` names that place."""

import ipaddress
import re
import socket
from fnmatch import fnmatchcase
from typing import TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOOPBACK_NAMES = {"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"}
PLACE = re.compile(
    r"(?:\[(?P<literal>[^\[\]]+)\]|(?P<name>[^\[\]:/?#@\s]+))(?::(?P<port>[0-9]{1,5}))?"
)
_NUMBERS = re.compile(r"[0-9a-fx.]+")

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


class Target(Struct, frozen=True):
    """Where a call goes. `address` is None for a name, which is not resolved."""

    scheme: str
    host: str
    port: int | None
    address: Address | None


def target_of(url: str) -> Target | None:
    """Return where calls to a URL go, or None if it names no host."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    host = _ascii((parts.hostname or "").rstrip("."))
    return Target(parts.scheme, host, port, _address(host)) if host else None


def is_loopback(target: Target) -> bool:
    """Return whether a target is this machine, by its name or address alone."""
    if target.address is not None:
        # The unspecified address reaches this machine too.
        return target.address.is_loopback or target.address.is_unspecified
    return target.host in _LOOPBACK_NAMES or target.host.endswith(".localhost")


def matches(entry: str, target: Target) -> bool:
    """Return whether an entry of `NO_PROXY` names a target. Raises: `ValueError`."""
    scheme, separator, place = entry.rpartition("://")
    is_scheme = not separator or scheme in ("all", target.scheme)
    place = place.rstrip("/") if separator else place
    return _matches_place(place, target) and is_scheme


def _matches_place(place: str, target: Target) -> bool:
    if place == "*":
        return True
    if "/" in place:
        network = ipaddress.ip_network(re.sub(r"%[^/\]]*|[\[\]]", "", place), strict=False)
        return target.address is not None and target.address in network
    if (address := _literal(place)) is not None:
        return target.address == address
    match = PLACE.fullmatch(place)
    if match is None:
        raise ValueError("no host")
    is_port = checked_port(match["port"]) in (None, target.port)
    if match["literal"]:
        address = ipaddress.IPv6Address(match["literal"].partition("%")[0])
        return target.address == _unmapped(address) and is_port
    return _matches_name(match["name"], target) and is_port


def _matches_name(name: str, target: Target) -> bool:
    """Return whether a name is that of the target or of a domain it is in, as curl does."""
    if not re.fullmatch(r"[\w.*-]+", name):
        raise ValueError("no host")
    if (address := _literal(name)) is not None:
        return target.address == address
    if re.fullmatch(r"(?:\d{1,3}\.){1,3}\*?", name):
        return target.address is not None and str(target.address).startswith(name.rstrip("*"))
    domain = _ascii(name.removeprefix("*").strip("."))
    if "*" in domain:
        return fnmatchcase(target.host, domain)
    if target.address is not None or not domain:
        return False
    return target.host == domain or target.host.endswith(f".{domain}")


def checked_port(text: str | None) -> int | None:
    """Return a port as a number, None for none. Raises: `ValueError`."""
    if text is None:
        return None
    if not 0 < int(text) < 65_536:
        raise ValueError("no port")
    return int(text)


def _address(host: str) -> Address | None:
    """Return the address that a host is, in any of the spellings that a resolver takes."""
    address = _literal(host)
    if address is None and _NUMBERS.fullmatch(host):
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return None
    return address


def _literal(text: str) -> Address | None:
    try:
        return _unmapped(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None


def _unmapped(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _ascii(name: str) -> str:
    try:
        return name.lower().encode("idna").decode()
    except UnicodeError:
        return name.lower()
