"""The path that a proxy puts before ours: taken off requests, put before the links in answers.

A proxy may strip it or not; both work. It comes from the setting `root_path`, or with a request, in
`X-Forwarded-Prefix`, from an address in `trusted_proxies`. Links are paths without a host, so that
no other forwarded header matters.
"""

import ipaddress
from collections.abc import Iterable
from typing import Any, cast

from litestar import Request
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from meeting_service.settings import is_path_prefix, networks_of

HEADER = b"x-forwarded-prefix"
OWN_PATHS = frozenset({"api", "docs", "health", "openapi.json"})
"""The first parts of all paths of the service."""

PREFIX_KEY = "path_prefix"
"""Where a request's scope holds the prefix."""


def prefix_of(request: Request[Any, Any, Any]) -> str:
    """Return what stands before the service's own paths for this client; empty without a proxy."""
    return str(request.scope.get(PREFIX_KEY, ""))


def full_path(request: Request[Any, Any, Any]) -> str:
    """Return the path of a request as its client sees it."""
    return prefix_of(request) + request.url.path


class PathPrefix:
    """An application that answers below a path prefix too."""

    def __init__(self, app: ASGIApp, root_path: str, trusted_proxies: Iterable[str]) -> None:
        self._app = app
        self._root_path = root_path
        self._trusted = networks_of(trusted_proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == ScopeType.HTTP:
            prefix = self._forwarded(scope) or self._root_path
            changed = {**scope, PREFIX_KEY: prefix, "path": without_prefix(scope["path"], prefix)}
            scope = cast("Scope", changed)
        await self._app(scope, receive, send)

    def _forwarded(self, scope: Scope) -> str:
        """Return the prefix that a trusted proxy names, or an empty text."""
        values = [value for name, value in scope["headers"] if name == HEADER]
        if not values or not self._is_trusted(scope.get("client")):
            return ""
        # A proxy behind another one adds its own prefix at the end.
        parts = b",".join(values).decode("latin-1").split(",")
        prefix = "".join(part.strip().rstrip("/") for part in parts)
        return prefix if is_path_prefix(prefix) else ""

    def _is_trusted(self, client: tuple[str, int] | None) -> bool:
        try:
            address = ipaddress.ip_address(client[0] if client else "")
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._trusted)


def without_prefix(path: str, prefix: str) -> str:
    """Return the service's own path, whether or not the proxy has taken the prefix off.

    Where the prefix is like a path of the service (`/api`), it is taken off only if one is left.
    """
    if not prefix or not (path == prefix or path.startswith(f"{prefix}/")):
        return path
    own = path[len(prefix) :] or "/"
    is_ambiguous = prefix.split("/")[1] in OWN_PATHS
    return path if is_ambiguous and own.split("/")[1] not in OWN_PATHS else own
