"""The documentation: the OpenAPI document, and a page made of it that needs no other server."""

from litestar.types import ControllerRouterHandler

documentation_routes: list[ControllerRouterHandler] = []
