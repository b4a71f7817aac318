"""Views: what the service answers about meetings, as data."""

from typing import Annotated, TypeAlias

from msgspec import Meta

Time: TypeAlias = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""A time in UTC, as RFC 3339."""
