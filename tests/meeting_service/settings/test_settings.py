"""Settings: what wins over what, what is refused and how, what is never shown."""

import re
import tomllib
from pathlib import Path

import pytest

from meeting_core import ModelPrice, PriceTable
from meeting_core.model import Participant
from meeting_service.settings import (
    DEFAULT_AGENTS,
    DatabaseUrl,
    OpenAICompatibleGateway,
    ScriptedGateway,
    Settings,
    SettingsError,
    describe_settings,
    load_settings,
)

EXAMPLE = Path(__file__).parents[3] / "meetings.toml.example"
OPENAI = """
[gateways.main]
kind = "openai_compatible"
base_url = "https://models.example/v1"
model = "small"
"""


PRICED = "[prices]\nversion = '2026-11'\n[prices.models.small]\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without a meetings.toml."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(folder: Path, text: str) -> Path:
    path = folder / "some.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(config: Path | None, environ: dict[str, str] | None = None, **flags: object) -> str:
    with pytest.raises(SettingsError) as refusal:
        load_settings(config, environ or {}, flags)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_without_any_setting_four_scripted_agents_are_there() -> None:
    settings = load_settings(None, {}, {})
    assert settings == Settings()
    assert settings.gateways == {"scripted": ScriptedGateway()}
    assert [participant.agent_id for participant in settings.participants] == [
        "planner",
        "dev",
        "design",
        "qa",
    ]
    for participant in settings.participants:
        assert participant.name
        assert participant.role
        assert participant.instructions
        assert participant.gateway == "scripted"


def test_flags_win_over_environment_over_file_over_defaults(folder: Path) -> None:
    config = written(folder, 'host = "file"\nport = 1\nlog_level = "debug"\n')
    settings = load_settings(
        config, {"MEETINGS_PORT": "2", "MEETINGS_HOST": "variable"}, {"port": 3, "host": None}
    )
    assert (settings.port, settings.host, settings.log_level) == (3, "variable", "debug")
    assert settings.recovery == "resume"


def test_the_default_file_counts_when_it_is_there(folder: Path) -> None:
    (folder / "meetings.toml").write_text("port = 9000")
    assert load_settings(None, {}, {}).port == 9000


def test_every_plain_setting_has_a_variable() -> None:
    environ = {
        "MEETINGS_DRAIN_SECONDS": "2.5",
        "MEETINGS_MAX_LIVE_MEETINGS": "7",
        "MEETINGS_RECOVERY": "fail",
        "MEETINGS_OUTPUT_DIR": "elsewhere",
        "MEETINGS_URL": "https://meetings.example/",
        "MEETINGS_LOG_LEVEL": "",
        "HOME": "/somewhere",
    }
    settings = load_settings(None, environ, {})
    assert settings.drain_seconds == 2.5
    assert settings.max_live_meetings == 7
    assert settings.recovery == "fail"
    assert settings.output_dir == Path("elsewhere")
    assert settings.service_url == "https://meetings.example"
    assert settings.log_level == "info"


def test_every_default_may_also_be_given() -> None:
    defaults = {
        each.environment: each.default.strip('"')
        for each in describe_settings()
        if each.environment and each.default
    }
    assert load_settings(None, defaults, {}) == Settings()


def test_paths_in_the_file_count_from_its_folder(folder: Path) -> None:
    (folder / "below").mkdir()
    config = written(folder / "below", 'output_dir = "out"\ndata_dir = "/absolute"')
    settings = load_settings(config, {}, {})
    assert settings.output_dir == folder / "below" / "out"
    assert settings.data_dir == Path("/absolute")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"DATABASE_URL": "postgresql://a/b"}, "postgresql://a/b"),
        ({"DATABASE_URL": "postgres://a/b"}, "postgresql://a/b"),
        ({"MEETINGS_DATABASE_URL": "postgresql://c/d"}, "postgresql://c/d"),
        (
            {"MEETINGS_DATABASE_URL": "postgresql://c/d", "DATABASE_URL": "postgresql://a/b"},
            "postgresql://c/d",
        ),
        ({"DATABASE_URL": ""}, None),
    ],
)
def test_the_database_comes_from_either_variable(
    environ: dict[str, str], expected: str | None
) -> None:
    assert load_settings(None, environ, {}).database_url == expected


def test_a_data_folder_named_later_takes_the_place_of_a_database_named_before() -> None:
    settings = load_settings(None, {"DATABASE_URL": "postgresql://a/b"}, {"data_dir": Path("d")})
    assert (settings.database_url, settings.data_dir) == (None, Path("d"))


@pytest.mark.parametrize("variable", ["DIRECT_DATABASE_URL", "MEETINGS_DIRECT_DATABASE_URL"])
def test_a_second_address_comes_from_either_variable(variable: str) -> None:
    environ = {"DATABASE_URL": "postgresql://a/b", variable: "postgres://c/b"}
    assert load_settings(None, environ, {}).direct_database_url == "postgresql://c/b"


def test_a_database_named_later_takes_the_place_of_both_addresses_of_one_before() -> None:
    both = {"DATABASE_URL": "postgresql://a/b", "DIRECT_DATABASE_URL": "postgresql://c/b"}
    settings = load_settings(None, both, {"database_url": "postgresql://x/y"})
    assert (settings.database_url, settings.direct_database_url) == ("postgresql://x/y", None)
    settings = load_settings(None, both, {"data_dir": Path("d")})
    assert (settings.data_dir, settings.direct_database_url) == (Path("d"), None)


def test_a_second_address_given_alone_goes_with_a_database_named_later(folder: Path) -> None:
    config = written(folder, "direct_database_url = 'postgresql://c/b'")
    settings = load_settings(config, {"DATABASE_URL": "postgresql://a/b"}, {})
    assert settings.direct_database_url == "postgresql://c/b"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:hidden@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:hi@dden@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:hid/den?#@h/d?password=hidden", "postgresql://u:***@h/d?***"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://h:1/d", "postgresql://h:1/d"),
    ],
)
def test_a_database_shows_no_secret_even_where_it_is_not_encoded(url: str, shown: str) -> None:
    assert DatabaseUrl(url).redacted == shown


def test_the_only_gateway_is_the_default_one(folder: Path) -> None:
    settings = load_settings(written(folder, OPENAI), {}, {})
    assert settings.default_gateway == "main"
    assert {(participant.gateway, participant.model) for participant in settings.participants} == {
        ("main", "small")
    }


def test_a_participant_keeps_its_own_gateway_and_model_and_gets_the_defaults(folder: Path) -> None:
    settings = load_settings(written(folder, OPENAI), {}, {})
    own = Participant("x", "X", gateway="unknown", model="big")
    assert settings.with_defaults(own) == own
    assert settings.with_defaults(Participant("x", "X")) == Participant(
        "x", "X", gateway="main", model="small"
    )


def test_fallback_models_and_prices_come_from_the_file(folder: Path) -> None:
    agent = "\n[agents.a]\nmodel = 'big'\nfallback_models = ['small', 'tiny']"
    config = written(folder, PRICED + "prompt = 2\ncompletion = 10.5" + agent)
    settings = load_settings(config, {}, {})
    (participant,) = settings.participants
    assert (participant.model, participant.fallback_models) == ("big", ("small", "tiny"))
    prices = PriceTable("2026-11", "USD", (ModelPrice("small", 2.0, 10.5),))
    assert settings.price_table == prices


def test_agents_in_the_file_replace_the_four(folder: Path) -> None:
    config = written(folder, '[agents.solo]\nrole = "Soloist"')
    (only,) = load_settings(config, {}, {}).participants
    assert (only.agent_id, only.name, only.role) == ("solo", "solo", "Soloist")


@pytest.mark.parametrize(
    ("url", "host", "port", "expected"),
    [
        (None, "127.0.0.1", 8080, "http://127.0.0.1:8080"),
        (None, "0.0.0.0", 9000, "http://127.0.0.1:9000"),
        (None, "::", 9000, "http://[::1]:9000"),
        ("http://elsewhere:1/", "0.0.0.0", 9000, "http://elsewhere:1"),
    ],
)
def test_clients_find_the_service_where_it_listens(
    url: str | None, host: str, port: int, expected: str
) -> None:
    assert load_settings(None, {}, {"url": url, "host": host, "port": port}).service_url == expected


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("prot = 1", ["some.toml: prot: is no setting", "did you mean port?"]),
        ("[limits]\nmax_rouns = 1", ["limits.max_rouns", "did you mean max_rounds?"]),
        ("[agents.a]\nrole = 'x'\nmodle = 'y'", ["agents.a.modle", "did you mean model?"]),
        ("port = '1'", ["port: is '1'", "expected int", "port = 8080"]),
        ("port = true", ["port: is True", "expected int"]),
        ("port = 65536", ["port: is 65536", "65535"]),
        ("drain_seconds = nan", ["drain_seconds: is nan"]),
        ("lease_seconds = inf", ["lease_seconds: is inf"]),
        ("lease_seconds = 0", ["lease_seconds: is 0"]),
        ("recovery = 'none'", ["recovery: is 'none'", "must be resume or fail"]),
        ("output_dir = 3", ["output_dir: is 3", "expected text, got int"]),
        ("port = ", ["some.toml: is not valid TOML"]),
        ("database_url = 'mysql://u:secret@h/d'", ["database_url: must begin with postgresql://"]),
        (
            "database_url = 'postgresql://u:se@cret@h/d'",
            ["database_url: holds a user or a password", "%40"],
        ),
        ("database_url = 'postgresql://h/d?sslmod=x'", ["sslmod, which", "did you mean sslmode?"]),
        (
            "database_url = 'postgresql://h'\ndirect_database_url = 'postgresql://u:secret@h:x'",
            ["direct_database_url: has a port"],
        ),
        (
            "direct_database_url = 'postgresql://u:secret@h'",
            ["direct_database_url: is set without database_url"],
        ),
        ("database_url = 'postgresql://x'\ndata_dir = 'y'", ["both set", "keep one"]),
        ("agents = 3", ["agents: is no table"]),
        ("[agents]", ["agents: is no table"]),
        ("[gateways]", ["gateways: is no table"]),
        ("limits = 3", ["limits: is no table"]),
        ("[limits]\nmax_rounds = 0", ["limits.max_rounds: is 0", "at least 1"]),
        ("[limits]\nmax_participants = 1", ["limits.max_participants: is 1", "at least 2"]),
        ("[limits]\nmax_timeout_seconds = nan", ["limits.max_timeout_seconds: is nan"]),
        ("[limits]\nmax_timeout_seconds = 60", ["synthesis_timeout_seconds: is above limits."]),
        ("meeting_timeout_seconds = 100", ["meeting_timeout_seconds: is 100", "may take 240"]),
        ("meeting_timeout_seconds = 239.5", ["is 239.5", "2 x 60 + 120"]),
        ("attempt_timeout_seconds = 61", ["attempt_timeout_seconds: is 61", "whole turn", "60"]),
        ("attempt_timeout_seconds = 0", ["attempt_timeout_seconds: is 0"]),
        ("gateway_reconnect_timeout_seconds = inf", ["gateway_reconnect_timeout_seconds: is inf"]),
        (
            "gateway_reconnect_timeout_seconds = 5000\n[limits]\nmax_timeout_seconds = 4000",
            ["gateway_reconnect_timeout_seconds: is above limits."],
        ),
        ("on_budget = 'stop'", ["on_budget: is 'stop'", "wrap_up or pause or fail"]),
        ("min_tokens_per_turn = 0", ["min_tokens_per_turn: is 0"]),
        ("digest_rounds = 1", ["digest_rounds: is 1", "expected bool"]),
        ("[agents.a]\nfallback_models = 'b'", ["agents.a.fallback_models: is 'b'", "array"]),
        ("[agents.a]\nfallback_models = ['b', ' ']", ["agents.a.fallback_models", "empty name"]),
        (f"[agents.a]\nfallback_models = {['m'] * 9}", ["agents.a.fallback_models", "8 models"]),
        ("prices = 3", ["prices: is no table"]),
        ("[prices]\ncurrency = 'EUR'", ["prices.version: is missing"]),
        ("[prices]\nversion = ''", ["prices.version: is ''"]),
        ("[prices]\nversion = '1'\nmodel = 2", ["prices.model: is no setting", "models"]),
        ("[prices]\nversion = '1'\nmodels = 2", ["prices.models: is no table"]),
        (PRICED + "prompt = 1", ["prices.models.small.completion: is missing"]),
        (PRICED + "prompt = -1\ncompletion = 1", ["prices.models.small.prompt: is -1"]),
        (PRICED + "prompt = nan\ncompletion = 1", ["prices.models.small.prompt: is nan"]),
        (PRICED + "prompt = '1'\ncompletion = 1", ["prices.models.small.prompt: is '1'"]),
        ("[gateways.a]\nseed = 1", ["gateways.a.kind: is missing", 'kind = "scripted"']),
        ("[gateways.a]\nkind = 'other'", ["gateways.a.kind: is 'other'"]),
        ("[gateways.a]\nkind = 'openai_compatible'", ["gateways.a.base_url: is missing"]),
        ("[gateways.'a b']\nkind = 'scripted'", ["gateways.a b: is no name"]),
        ("[gateways.a]\nkind = 'scripted'\nfaults = {x = 'y'}", ["faults", "rate_limited"]),
        (OPENAI + "api_key = 'secret'", ["gateways.main.api_key", "api_key_env"]),
        (OPENAI + "stream_options = 1", ["gateways.main.stream_options", "bool"]),
        (OPENAI + "max_tokens_field = 'max'", ["max_tokens or max_completion_tokens"]),
        (OPENAI + "api_key_env = 'A'\napi_key_file = 'b'", ["gateways.main", "keep one"]),
        (
            "[gateways.a]\nkind = 'anthropic'",
            ["agents.planner.model: is missing", "[gateways.a]"],
        ),
        (OPENAI.replace("https://", "ftp://"), ["gateways.main.base_url: must begin with http"]),
        (OPENAI.replace("https://", "https://u:secret@"), ["must not hold credentials"]),
        (OPENAI.replace('model = "small"', ""), ["agents.planner.model: is missing"]),
        (OPENAI + "[gateways.b]\nkind = 'scripted'", ["default_gateway: is missing", "main, b"]),
        ("default_gateway = 'b'", ["default_gateway: is 'b'", "the gateways are scripted"]),
        ("[agents.a]\ngateway = 'b'", ["agents.a.gateway: is 'b'", "the gateways are scripted"]),
        ("[agents.'a b']\nrole = 'x'", ["agents.a b: is no id"]),
        ("[agents.a]\nrole = 3", ["agents.a.role: is 3"]),
        ("url = 'meetings.example'", ["url: is 'meetings.example'", "http://"]),
        (
            "url = 'http://meetings.example:99999'",
            ["url: is 'http://meetings.example:99999'; it has a wrong port"],
        ),
        ("url = 'http://u:secret@h:port/x'", ["url: is 'http://h:port/x'; it has a wrong port"]),
        ("url = 'http://u:secret/@h:0'", ["url: is 'http://h:0'; it has a wrong port"]),
        ("url = 'u:secret@h'", ["url: is 'h'; it must begin with http://"]),
        ("url = 'ftp://h/?key=secret'", ["url: is 'ftp://h/'; it must begin with http://"]),
        ("url = ['http://u:secret@h']", ["url: expected str"]),
        (
            OPENAI.replace("https://", "https://u:secret@").replace("/v1", ":0/v1"),
            ["gateways.main.base_url: has a wrong port"],
        ),
        (OPENAI + "tokenize_url = 'http://h:70000'", ["main.tokenize_url: has a wrong port"]),
    ],
)
def test_a_wrong_file_is_refused_by_name(folder: Path, text: str, parts: list[str]) -> None:
    message = refused(written(folder, text))
    assert message.startswith(str(folder / "some.toml"))
    for part in parts:
        assert part in message
    assert "secret" not in message


@pytest.mark.parametrize(
    ("environ", "parts"),
    [
        ({"MEETINGS_PROT": "1"}, ["MEETINGS_PROT is no setting", "did you mean MEETINGS_PORT?"]),
        ({"MEETINGS_PORT": "many"}, ["MEETINGS_PORT: is 'many'", "expected int"]),
        ({"MEETINGS_AGENTS": "x"}, ["MEETINGS_AGENTS is no setting"]),
        ({"DATABASE_URL": "mysql://u:secret@h"}, ["DATABASE_URL: must begin with postgresql://"]),
        (
            {"DATABASE_URL": "postgresql://h", "MEETINGS_DATA_DIR": "d"},
            ["environment: database_url and data_dir are both set"],
        ),
    ],
)
def test_a_wrong_variable_is_refused_by_name(environ: dict[str, str], parts: list[str]) -> None:
    message = refused(None, environ)
    for part in parts:
        assert part in message
    assert "secret" not in message


def test_a_wrong_flag_is_refused_by_name() -> None:
    assert refused(None, port=70_000).startswith("--port: is 70000")


def test_a_named_file_must_be_there(folder: Path) -> None:
    assert "no such file" in refused(folder / "none.toml")
    assert "cannot be read" in refused(folder)


def test_a_file_in_another_encoding_is_refused(folder: Path) -> None:
    (folder / "some.toml").write_bytes(b'host = "\xff"')
    assert "is not UTF-8" in refused(folder / "some.toml")


def test_a_folder_that_is_a_file_is_refused(folder: Path) -> None:
    (folder / "minutes").write_text("")
    assert "output_dir: minutes is not a folder" in refused(None)
    assert "data_dir: minutes is not a folder" in refused(None, output_dir="x", data_dir="minutes")


def test_a_key_comes_from_its_variable_and_never_shows(folder: Path) -> None:
    config = written(
        folder, OPENAI + "api_key_env = 'MEETINGS_KEY'\nheaders = {Authorization = 'hidden'}"
    )
    environ = {
        "MEETINGS_KEY": "hidden",
        "DATABASE_URL": "postgresql://u:hidden@h/d?password=hidden",
    }
    settings = load_settings(config, environ, {})
    gateway = settings.gateways["main"]
    assert isinstance(gateway, OpenAICompatibleGateway)
    assert gateway.api_key == "hidden"
    assert gateway.headers == {"Authorization": "hidden"}
    assert settings.database_url == "postgresql://u:hidden@h/d?password=hidden"
    assert "hidden" not in repr(settings)
    assert "postgresql://u:***@h/d" in repr(settings)


def test_a_key_may_come_from_a_file(folder: Path) -> None:
    (folder / "key").write_text("hidden\n")
    gateway = load_settings(written(folder, OPENAI + "api_key_file = 'key'"), {}, {}).gateways[
        "main"
    ]
    assert isinstance(gateway, OpenAICompatibleGateway)
    assert gateway.api_key == "hidden"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (OPENAI + "api_key_env = 'KEY'", "environment: KEY is not set"),
        (OPENAI + "api_key_file = 'none'", "gateways.main.api_key_file"),
        ("[gateways.a]\nkind = 'scripted'\nreplies_file = 'none'", "gateways.a.replies_file"),
    ],
)
def test_what_only_a_running_service_needs_is_missed_by_it_alone(
    folder: Path, text: str, part: str
) -> None:
    config = written(folder, text)
    assert part in refused(config)
    load_settings(config, {}, {}, for_service=False)


def test_the_example_holds_the_defaults() -> None:
    settings = load_settings(EXAMPLE, {}, {})
    assert settings.agents == {name: DEFAULT_AGENTS[name] for name in ("planner", "dev")}
    for name in Settings.__struct_fields__:
        if name not in ("agents", "output_dir"):
            assert getattr(settings, name) == getattr(Settings(), name)


def test_the_example_names_every_setting_and_all_of_it_works(folder: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    everything = re.sub(r"(?m)^# (?=\[|\w+ = )", "", text)
    # The two ways to name a database exclude each other.
    everything = re.sub(r"(?m)^data_dir = .*\n", "", everything)
    (folder / "local.key").write_text("key")
    (folder / "replies.toml").write_text("")
    load_settings(
        written(folder, everything), {"OPENAI_API_KEY": "key", "ANTHROPIC_API_KEY": "key"}, {}
    )
    tomllib.loads(everything)
    for setting in describe_settings():
        assert re.search(rf"(?m)^(# )?{setting.name} = ", text), setting.name


def test_every_setting_is_described() -> None:
    described = describe_settings()
    assert len({(each.table, each.name) for each in described}) == len(described)
    for each in described:
        assert each.text, each.name
        assert each.type, each.name
    (port,) = (each for each in described if each.name == "port")
    assert port.table == ""
    assert port.type == "integer, from 0 to 65535"
    assert (port.default, port.environment) == ("8080", "MEETINGS_PORT")
    names = {(each.table, each.name) for each in described}
    assert ("[limits]", "max_rounds") in names
    assert ('[gateways.NAME] with kind = "openai_compatible"', "base_url") in names
    assert "api_key" not in {each.name for each in described}


MARKED = {"utf-8": "utf-8-sig", "utf-16": "utf-16", "utf-32": "utf-32"}
"""Encodings that write a byte order mark."""


@pytest.mark.parametrize("encoding", MARKED.values(), ids=MARKED)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["unix", "windows"])
def test_a_file_as_windows_editors_save_it_is_read(folder: Path, encoding: str, line_end: str):
    text = 'host = "größer"\nport = 9000\n'.replace("\n", line_end)
    (folder / "meetings.toml").write_bytes(text.encode(encoding))
    settings = load_settings(None, {}, {})
    assert (settings.host, settings.port) == ("größer", 9000)


def test_a_file_in_utf_16_without_its_mark_is_named(folder: Path):
    (folder / "some.toml").write_bytes("port = 9000\n".encode("utf-16-le"))
    assert refused(folder / "some.toml") == (
        f"{folder / 'some.toml'}: has NUL bytes, as UTF-16 without its mark has; save it as UTF-8"
    )


@pytest.mark.parametrize(
    "written",
    ['"sk-1"', "'sk-1'", ' "sk-1"\r\n', "\ufeffsk-1", "\u200bsk-1\u00a0", "\u201csk-1\u201d"],
    ids=ascii,
)
def test_a_key_is_taken_without_what_was_put_around_it(folder: Path, written: str):
    by_variable = written_gateway(folder, 'api_key_env = "A_KEY"')
    assert key_of(load_settings(by_variable, {"A_KEY": written}, {})) == "sk-1"
    by_file = written_gateway(folder, 'api_key_file = "key.txt"')
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (folder / "key.txt").write_bytes(written.encode(encoding))
        assert key_of(load_settings(by_file, {}, {})) == "sk-1", encoding


@pytest.mark.parametrize("written", ["sk-1 sk-2", "sk-1\nsk-2", "sk-\u2026", "sk-ключ"], ids=ascii)
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(folder: Path, written: str):
    problem = refused(written_gateway(folder, 'api_key_env = "A_KEY"'), {"A_KEY": written})
    assert problem.startswith("environment: A_KEY holds ")
    assert problem.endswith("put only the key in it")
    assert "sk-" not in problem
    (folder / "key.txt").write_text(written, encoding="utf-8")
    problem = refused(written_gateway(folder, 'api_key_file = "key.txt"'))
    assert f"{folder / 'key.txt'} holds " in problem
    assert "sk-" not in problem


@pytest.mark.parametrize("written", ["", '""', " '' ", "\ufeff\r\n"], ids=ascii)
def test_a_key_of_nothing_but_quotes_is_missing(folder: Path, written: str):
    config = written_gateway(folder, 'api_key_env = "A_KEY"')
    assert "A_KEY is not set" in refused(config, {"A_KEY": written})


def test_any_setting_of_an_env_file_may_stand_in_quotes():
    environ = {
        "DATABASE_URL": '"postgresql://me:secret@db/meetings"',
        "MEETINGS_PORT": "'9000'",
        "MEETINGS_LOG_LEVEL": '"debug"\r',
        "MEETINGS_HOST": '""',
    }
    settings = load_settings(None, environ, {})
    assert settings.database_url == "postgresql://me:secret@db/meetings"
    assert (settings.port, settings.log_level, settings.host) == (9000, "debug", Settings().host)


def written_gateway(folder: Path, line: str) -> Path:
    return written(folder, f"{OPENAI}{line}\n")


def key_of(settings: Settings) -> str | None:
    gateway = settings.gateways["main"]
    assert isinstance(gateway, OpenAICompatibleGateway)
    return gateway.api_key


@pytest.mark.parametrize(
    "written",
    ["meetings", "/meetings/", "//evil", "/a b", "/a/../b", "/", "https://h/a", "/\u00e9", "/a?b"],
)
def test_a_path_prefix_is_a_plain_path(folder: Path, written: str):
    assert refused(None, {"MEETINGS_ROOT_PATH": written}) == (
        f"environment: root_path: is {written!r}; write a path such as /meetings, of letters, "
        "digits, '-', '_' and '.', without a '/' at its end"
    )
    assert load_settings(None, {"MEETINGS_ROOT_PATH": "/a/b.c-d"}, {}).root_path == "/a/b.c-d"


def test_trusted_proxies_are_addresses_and_networks(folder: Path):
    from_file = written(folder, 'trusted_proxies = ["127.0.0.1", "fd00::/8"]')
    assert load_settings(from_file, {}, {}).trusted_proxies == ("127.0.0.1", "fd00::/8")
    environ = {"MEETINGS_TRUSTED_PROXIES": ' "10.0.0.1/8, ::1" '}
    assert load_settings(None, environ, {}).trusted_proxies == ("10.0.0.1/8", "::1")
    for wrong in ("proxy.example", "10.0.0.0/99", "*", "[::1]", "10.0.0.1:80"):
        assert refused(None, {"MEETINGS_TRUSTED_PROXIES": f"::1 {wrong}"}) == (
            f"environment: trusted_proxies: {wrong!r} is no address and no network such as "
            "10.0.0.0/8"
        )


@pytest.mark.parametrize(
    ("proxy", "says"),
    [
        ("http://me:secret@proxy:port", "is no address of a proxy"),
        ("ftp://me:secret@proxy", "begins with ftp://"),
        ("", "is no address of a proxy"),
        ("none", None),
        ("environment", None),
        ("proxy.example:3128", None),
    ],
)
def test_the_proxy_of_a_gateway_is_checked_and_its_password_not_shown(
    folder: Path, proxy: str, says: str | None
):
    config = written_gateway(folder, f'proxy = "{proxy}"')
    if says is None:
        assert load_settings(config, {}, {}).gateways["main"].proxy == proxy
        return
    problem = refused(config)
    assert f"gateways.main.proxy: {says}" in problem
    assert problem.endswith(', or "none" or "environment"')
    assert "secret" not in problem


@pytest.mark.parametrize(
    "setting",
    [
        'proxy = ["http://me:secret@proxy"]',
        'query = "secret"',
        'query = { "api-key" = ["secret"] }',
        'query = { "api-key" = { value = "secret" } }',
        'headers = ["secret"]',
        'headers = { "X-Key" = { value = "secret" } }',
        'extra_body = "secret"',
        'extra_body = [{ key = "secret" }]',
        'tokenize_url = ["http://me:secret@proxy"]',
        'api_key_env = ["secret"]',
        'api_key_file = { key = "secret" }',
    ],
)
def test_a_value_that_may_be_private_is_not_shown_where_its_type_is_wrong(
    folder: Path, setting: str
):
    problem = refused(written_gateway(folder, setting))
    assert f"gateways.main.{setting.partition(' ')[0]}: expected " in problem
    assert "secret" not in problem


def test_a_path_is_shown_as_it_was_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", no_home)
    assert refused(None, data_dir=Path("~/x")).startswith(
        "--data-dir: is '~/x'; names a home folder that is not known here"
    )
