"""The database that the settings name, and what helps when it cannot be had."""

import importlib.util

import pytest

from meeting_service.app.database import (
    default_data_dir,
    describe_database,
    embedded_server,
    open_recorder,
)
from meeting_service.embedded_postgres import EmbeddedServerError
from meeting_service.settings import DatabaseUrl, Settings


async def refusal(settings: Settings) -> str:
    with pytest.raises(EmbeddedServerError) as refused:
        async with open_recorder(settings):
            pass
    return str(refused.value)


def test_the_embedded_database_is_meetings_in_the_users_state(monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "/elsewhere")
    assert str(default_data_dir()) == "/elsewhere/ai-meetings"
    assert embedded_server(None).data_dir == default_data_dir()
    assert embedded_server(None).dsn().startswith("postgresql://postgres@/meetings?")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:sesame@db.example:5433/meetings", "db.example:5433/meetings"),
        ("postgresql://u:sesame@[::1]/meetings?password=sesame", "[::1]/meetings"),
        ("postgresql://u:sesame@a:1,b:2/meetings", "a:1,b:2/meetings"),
        ("postgresql://u@/meetings?host=/run/postgres&password=sesame", "/run/postgres/meetings"),
        ("postgresql:///meetings", "localhost/meetings"),
    ],
)
def test_a_database_is_named_by_host_and_name_without_secrets(url, shown):
    settings = Settings(database_url=DatabaseUrl(url))
    assert describe_database(settings) == f"PostgreSQL at {shown}"


def test_the_embedded_database_is_named_by_its_folder(tmp_path):
    shown = describe_database(Settings(data_dir=tmp_path))
    assert shown.startswith("embedded PostgreSQL")
    assert str(tmp_path) in shown


@pytest.mark.anyio
async def test_a_folder_that_cannot_be_used_names_the_settings_that_help(tmp_path):
    (tmp_path / "file").write_text("")
    message = await refusal(Settings(data_dir=tmp_path / "file"))
    assert message.startswith(f"cannot keep a database in {tmp_path / 'file'}: Not a directory")
    assert message.endswith(
        "; give another folder with --data-dir, or a PostgreSQL server with --database-url"
    )


@pytest.mark.anyio
async def test_a_platform_without_programs_names_the_setting_that_helps(short_folder, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    message = await refusal(Settings(data_dir=short_folder))
    assert message.startswith("no embedded PostgreSQL is installed")
    assert message.endswith("or set DATABASE_URL to a PostgreSQL server")
