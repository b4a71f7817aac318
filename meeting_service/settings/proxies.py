"""What the settings say of the proxies before the service: their addresses, and the path prefix."""

import ipaddress
import re
from collections.abc import Iterable
from typing import TypeAlias

MAX_PREFIX_CHARACTERS = 200
# Plain segments only: nothing that a link, a page or a log would have to escape, and no `..`.
_PREFIX = re.compile(r"(?:/[A-Za-z0-9_~@:+-][A-Za-z0-9._~@:+-]*)+")

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


def is_path_prefix(text: str) -> bool:
    """Return whether a text is a path that can stand before every path of the service."""
    return len(text) <= MAX_PREFIX_CHARACTERS and _PREFIX.fullmatch(text) is not None


def networks_of(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return addresses and networks as networks. Raises: `ValueError`."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)
