"""Options that several commands share, and the settings made from them."""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

from cyclopts import Parameter

if TYPE_CHECKING:
    from meeting_service.cli.client import ServiceClient
    from meeting_service.settings import Settings

Result = TypeVar("Result")

MeetingArgument: TypeAlias = Annotated[str, Parameter(name="id", help="The meeting's id.")]
JsonFlag: TypeAlias = Annotated[bool, Parameter(name="json", help="Print JSON.")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """The options that say where settings are read from."""

    config: Annotated[
        Path | None,
        Parameter(help="Settings file (default: meetings.toml in the working directory)."),
    ] = None

    def settings(self, *, for_service: bool = True, **flags: Any) -> "Settings":
        """Load the settings. Raises: `SettingsError`."""
        from meeting_service.settings import load_settings

        return load_settings(self.config, os.environ, flags, for_service=for_service)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ClientOptions(FileOptions):
    """The options that say where the service is."""

    url: Annotated[
        str | None,
        Parameter(help="Address of the service, or MEETINGS_URL (http://127.0.0.1:8080)."),
    ] = None

    def run(self, work: "Callable[[ServiceClient], Awaitable[Result]]") -> Result:
        """Run a function with a client of the service and return its result."""
        import logging

        import anyio

        from meeting_service.cli.client import ServiceClient

        # What is wrong with the environment, as a line of the command's own.
        logging.basicConfig(format="meetings: %(message)s")
        url = self.settings(for_service=False, url=self.url).service_url

        async def with_client() -> Result:
            async with ServiceClient(url) as client:
                return await work(client)

        return anyio.run(with_client)


DEFAULT_FILE_OPTIONS = FileOptions()
DEFAULT_CLIENT_OPTIONS = ClientOptions()
