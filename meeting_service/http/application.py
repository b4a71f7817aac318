"""The application: every route, the dependencies of the routes, and the answers to errors."""

from typing import Any

from litestar import Litestar
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.types import ControllerRouterHandler

from meeting_service.feed.feed import Feed
from meeting_service.http.bodies import largest_body_bytes
from meeting_service.http.feed import FeedPolicy, feed_routes
from meeting_service.http.health import operation_routes
from meeting_service.http.history import history_routes
from meeting_service.http.meetings import meeting_routes
from meeting_service.http.openapi import openapi_document
from meeting_service.http.openapi_routes import Documentation, documentation_routes
from meeting_service.http.problems import answer_exception, answer_http_exception
from meeting_service.http.quarantine import quarantine_routes
from meeting_service.http.service_context import ServiceContext

api_routes: list[ControllerRouterHandler] = [
    *meeting_routes,
    *history_routes,
    *quarantine_routes,
    *feed_routes,
    *operation_routes,
]


def application(context: ServiceContext, feed: Feed, feed_policy: FeedPolicy) -> Litestar:
    """Build the application on the dependencies of its routes."""
    dependencies = {
        "context": context,
        "feed": feed,
        "feed_policy": feed_policy,
        "documentation": Documentation(describe),
    }
    return Litestar(
        [*api_routes, *documentation_routes],
        dependencies={name: _provide(value) for name, value in dependencies.items()},
        exception_handlers={
            HTTPException: answer_http_exception,
            Exception: answer_exception,
        },
        request_max_body_size=largest_body_bytes(context.settings.limits),
        openapi_config=None,
        logging_config=None,
    )


def _provide(value: object) -> Provide:
    """Provide a ready value: as the provider's cached result, so that no request computes it."""
    provider = Provide(lambda: value, use_cache=True, sync_to_thread=False)
    provider.value = value
    return provider


def describe() -> dict[str, Any]:
    """Describe the API as an OpenAPI document, without a running service."""
    return openapi_document(api_routes, ("context", "feed", "feed_policy"))
