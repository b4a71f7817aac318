"""Commands that run the service itself, or work on its database."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import App, Group, Parameter

from meeting_service.cli.exit_codes import Exit
from meeting_service.cli.options import DEFAULT_FILE_OPTIONS, FileOptions, JsonFlag

if TYPE_CHECKING:
    from meeting_service.settings import Settings

DatabaseFlag: TypeAlias = Annotated[
    str | None, Parameter(help="PostgreSQL server, postgresql://... (default: an embedded one).")
]
DataDirFlag: TypeAlias = Annotated[
    Path | None, Parameter(help="Folder of the embedded database (default: in your state folder).")
]
OutputDirFlag: TypeAlias = Annotated[
    Path | None, Parameter(help="Folder that minutes are written to (minutes).")
]


def register(app: App) -> None:
    """Add the commands, in the order in which `--help` lists them."""
    group = Group("Service", sort_key=1)
    app.command(demo, group=group, sort_key=1)
    app.command(serve, group=group, sort_key=2)
    database = App(name="db", help="Maintain the service's database.", group=group, sort_key=3)
    database.command(upgrade)
    database.command(rebuild)
    app.command(database)


def demo(
    *,
    database_url: Annotated[
        str | None,
        Parameter(help="PostgreSQL server (default: an embedded one of the demo's own)."),
    ] = None,
    data_dir: Annotated[
        Path | None, Parameter(help="Folder of the embedded database (default: the demo's own).")
    ] = None,
    output_dir: OutputDirFlag = None,
    as_json: JsonFlag = False,
    options: FileOptions = DEFAULT_FILE_OPTIONS,
) -> Exit:
    """Hold a complete meeting of four scripted agents; no setup is needed."""
    from meeting_service.cli.demonstration import own_data_dir, run_demo

    settings = options.settings(
        for_service=False,
        database_url=database_url,
        data_dir=data_dir if data_dir or database_url else own_data_dir(),
        output_dir=output_dir,
    )
    return run_demo(settings, as_json=as_json)


def serve(
    *,
    host: Annotated[str | None, Parameter(help="Address to listen on (127.0.0.1).")] = None,
    port: Annotated[int | None, Parameter(help="Port; 0 picks a free one (8080).")] = None,
    database_url: DatabaseFlag = None,
    data_dir: DataDirFlag = None,
    output_dir: OutputDirFlag = None,
    root_path: Annotated[
        str | None, Parameter(help="Path prefix that a proxy puts before ours, as /meetings.")
    ] = None,
    options: FileOptions = DEFAULT_FILE_OPTIONS,
) -> int:
    """Run the service until it is stopped; one line says its address when it is ready."""
    settings = options.settings(
        host=host,
        port=port,
        database_url=database_url,
        data_dir=data_dir,
        output_dir=output_dir,
        root_path=root_path,
    )
    from meeting_service import app

    return app.serve(settings, on_ready=_print_ready)


def _print_ready(url: str, database: str) -> None:
    print(f"meetings are served at {url} (database: {database})", flush=True)


def upgrade(
    *,
    database_url: DatabaseFlag = None,
    data_dir: DataDirFlag = None,
    options: FileOptions = DEFAULT_FILE_OPTIONS,
) -> None:
    """Bring the database to the newest schema; `serve` and `demo` do so by themselves."""
    from meeting_service.cli.db_commands import upgrade_database

    upgrade_database(_database_settings(options, database_url, data_dir))


def rebuild(
    *,
    database_url: DatabaseFlag = None,
    data_dir: DataDirFlag = None,
    options: FileOptions = DEFAULT_FILE_OPTIONS,
) -> Exit:
    """Rebuild the read models from the events, and report every row that differed."""
    from meeting_service.cli.db_commands import rebuild_read_models

    return rebuild_read_models(_database_settings(options, database_url, data_dir))


def _database_settings(
    options: FileOptions, database_url: str | None, data_dir: Path | None
) -> "Settings":
    return options.settings(for_service=False, database_url=database_url, data_dir=data_dir)
