"""The documentation: the OpenAPI document, and a page of it that loads nothing from elsewhere."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import msgspec
from anyio import to_thread
from litestar import Response
from litestar.di import NamedDependency
from litestar.types import ControllerRouterHandler

from meeting_service.http.openapi_page import render_page
from meeting_service.http.service_context import readable

# The page is complete, so the browser need load nothing.
PAGE_HEADERS = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}


class Documentation:
    """The document and the page, each built at the first request for it."""

    def __init__(self, describe: Callable[[], dict[str, Any]]) -> None:
        self._describe = describe

    @cached_property
    def document(self) -> bytes:
        """The OpenAPI document as JSON."""
        return msgspec.json.encode(self._describe())

    @cached_property
    def page(self) -> bytes:
        """The page as HTML."""
        return render_page(msgspec.json.decode(self.document)).encode()


async def read_openapi(documentation: NamedDependency[Documentation]) -> Response[bytes]:
    """Return the OpenAPI document."""
    # Building it takes longer than the event loop may be blocked.
    document = await to_thread.run_sync(lambda: documentation.document)
    return Response(document, media_type="application/json")


async def read_page(documentation: NamedDependency[Documentation]) -> Response[bytes]:
    """Return the page."""
    page = await to_thread.run_sync(lambda: documentation.page)
    return Response(page, media_type="text/html", headers=PAGE_HEADERS)


documentation_routes: list[ControllerRouterHandler] = [
    *readable("/openapi.json", read_openapi, include_in_schema=False),
    *readable("/docs", read_page, include_in_schema=False),
]
