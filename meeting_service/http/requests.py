"""Requests with a body: strict JSON, by schema, with every error naming the field it is about."""

import json
from typing import Any, ClassVar, NoReturn

from litestar import Request
from msgspec import Struct

from meeting_core.errors import Problem
from meeting_service.http.bodies import (
    BudgetBody,
    CancelBody,
    PauseBody,
    RemarkBody,
    StartBody,
    WrapUpBody,
)
from meeting_service.http.fields import read_fields
from meeting_service.http.problems import UNSUPPORTED_MEDIA_TYPE, HttpProblem, invalid

WHOLE = "body"
"""The name by which a body as a whole is refused."""

JSON = "application/json"


class _JsonRequest(Request[Any, Any, Any]):
    """A request whose body is read strictly: "3" is not 3, and no unknown field is let through.

    The framework's own way converts loosely, ignores the media type, and takes empty for null.
    """

    shape: ClassVar[type[Struct]]

    def _check_media_type(self) -> None:
        media_type = self.content_type[0].lower()
        if media_type != JSON:
            shown = f"not {media_type[:80]}" if media_type else "and Content-Type must say so"
            raise HttpProblem(UNSUPPORTED_MEDIA_TYPE, f"the body must be {JSON}, {shown}")

    async def json(self) -> Any:
        """Read the body's fields. Raises: `HttpProblem` 400 naming every one that is wrong."""
        self._check_media_type()
        return read_fields(read_object(await self.body()), self.shape)


class _WholeRequest(_JsonRequest):
    """A request that must have a body."""

    async def body(self) -> bytes:
        """Read the body. Raises: `HttpProblem` 400 when there is none, or 415."""
        self._check_media_type()
        body = await super().body()
        if not body:
            raise invalid(Problem(WHOLE, "is empty; send a JSON object"))
        return body


class StartRequest(_WholeRequest):
    """A request to start a meeting."""

    shape = StartBody


class BudgetRequest(_WholeRequest):
    """A request to raise a meeting's budget."""

    shape = BudgetBody


class RemarkRequest(_WholeRequest):
    """A request to say something to a meeting."""

    shape = RemarkBody


class CancelRequest(_JsonRequest):
    """A request to cancel a meeting; it may have no body."""

    shape = CancelBody


class PauseRequest(_JsonRequest):
    """A request to pause or to resume a meeting; it may have no body."""

    shape = PauseBody


class WrapUpRequest(_JsonRequest):
    """A request to end a meeting's rounds; it may have no body."""

    shape = WrapUpBody


def read_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object.

    By the standard library: msgspec cannot say which field has a lone surrogate in it.
    Raises: `HttpProblem` 400.
    """
    try:
        read = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise invalid(Problem(WHOLE, f"is not UTF-8 from byte {error.start} on")) from None
    except json.JSONDecodeError as error:
        detail = f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise invalid(Problem(WHOLE, detail)) from None
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else _short(error)
        raise invalid(Problem(WHOLE, f"is no JSON that is read here: {reason}")) from None
    if not isinstance(read, dict):
        raise invalid(Problem(WHOLE, f"must be a JSON object, not {type(read).__name__}"))
    return read


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _short(error: Exception) -> str:
    return str(error).partition(";")[0]
