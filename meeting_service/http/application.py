"""The application: every route, what the routes work with, and what errors become."""

from typing import Any

from litestar import Litestar
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.types import ControllerRouterHandler

from meeting_service.feed.feed import Feed
from meeting_service.http.app_state import ServiceContext
from meeting_service.http.bodies import largest_body_bytes
from meeting_service.http.documentation import Documentation, documentation_routes
from meeting_service.http.feed import FeedPolicy, feed_routes
from meeting_service.http.history import history_routes
from meeting_service.http.meetings import meeting_routes
from meeting_service.http.operations import operation_routes
from meeting_service.http.problems import answer_exception, answer_http_exception
from meeting_service.http.schema import openapi_document

api_routes: list[ControllerRouterHandler] = [
    *meeting_routes,
    *history_routes,
    *feed_routes,
    *operation_routes,
]


def application(context: ServiceContext, feed: Feed, feed_policy: FeedPolicy) -> Litestar:
    """Build the application around what its routes work with."""
    documentation = Documentation(describe)
    return Litestar(
        [*api_routes, *documentation_routes],
        dependencies={
            "context": Provide(lambda: context, sync_to_thread=False),
            "feed": Provide(lambda: feed, sync_to_thread=False),
            "feed_policy": Provide(lambda: feed_policy, sync_to_thread=False),
            "documentation": Provide(lambda: documentation, sync_to_thread=False),
        },
        exception_handlers={
            HTTPException: answer_http_exception,
            Exception: answer_exception,
        },
        request_max_body_size=largest_body_bytes(context.settings.limits),
        openapi_config=None,
        logging_config=None,
    )


def describe() -> dict[str, Any]:
    """Describe the API as an OpenAPI document, without a running service."""
    return openapi_document(api_routes, ("context", "feed", "feed_policy"))
