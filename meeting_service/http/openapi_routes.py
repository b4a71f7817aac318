"""The documentation: the OpenAPI document, and a page of it that loads nothing from elsewhere."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec
from anyio import to_thread
from litestar import Request, Response
from litestar.di import NamedDependency
from litestar.types import ControllerRouterHandler

from meeting_service.http.openapi_page import render_page
from meeting_service.http.path_prefix import prefix_of
from meeting_service.http.service_context import readable

# The page is complete, so the browser need load nothing.
PAGE_HEADERS = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}

MAX_PREFIXES = 8
"""Path prefixes for which the documentation is kept."""


class Documentation:
    """The document and the page, each built at the first request for it, by path prefix."""

    def __init__(self, describe: Callable[[], dict[str, Any]]) -> None:
        self._describe = lru_cache(maxsize=1)(describe)
        self.document = lru_cache(MAX_PREFIXES)(self._document)
        self.page = lru_cache(MAX_PREFIXES)(self._page)

    def _document(self, path_prefix: str) -> bytes:
        """Return the OpenAPI document as JSON."""
        servers = [{"url": path_prefix or "/"}]
        return msgspec.json.encode({**self._describe(), "servers": servers})

    def _page(self, path_prefix: str) -> bytes:
        """Return the page as HTML."""
        return render_page(msgspec.json.decode(self.document(path_prefix)), path_prefix).encode()


async def read_openapi(
    request: Request[Any, Any, Any], documentation: NamedDependency[Documentation]
) -> Response[bytes]:
    """Return the OpenAPI document."""
    # Building it takes longer than the event loop may be blocked.
    document = await to_thread.run_sync(documentation.document, prefix_of(request))
    return Response(document, media_type="application/json")


async def read_page(
    request: Request[Any, Any, Any], documentation: NamedDependency[Documentation]
) -> Response[bytes]:
    """Return the page."""
    page = await to_thread.run_sync(documentation.page, prefix_of(request))
    return Response(page, media_type="text/html", headers=PAGE_HEADERS)


documentation_routes: list[ControllerRouterHandler] = [
    *readable("/openapi.json", read_openapi, include_in_schema=False),
    *readable("/docs", read_page, include_in_schema=False),
]
