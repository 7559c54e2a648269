"""Settings: where each value may come from, who wins, and how a bad one is refused."""

import copy
import pickle
from pathlib import Path

import pytest

from inferway.settings import Secret, Settings, SettingsError, describe, load


def read(home: Path, env: dict[str, str] | None = None, toml: str | None = None, **flags: object) -> Settings:
    """Settings from an own data folder, so that nothing of this machine is read."""
    if toml is not None:
        home.mkdir(exist_ok=True)
        (home / "inferway.toml").write_text(toml)
    overrides = {name.replace("__", "."): value for name, value in flags.items()}
    return load(environ={"INFERWAY_DATA_DIR": str(home)} | (env or {}), overrides=overrides)


def refusal(home: Path, env: dict[str, str] | None = None, toml: str | None = None, **flags: object) -> str:
    with pytest.raises(SettingsError) as caught:
        read(home, env, toml, **flags)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults_need_no_source(tmp_path: Path) -> None:
    settings = load(environ={"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)})
    assert settings.data_dir == tmp_path / "inferway"
    assert (settings.server.host, settings.server.port, settings.server.workers) == ("127.0.0.1", 8080, 1)
    assert settings.calls.timeout_s == 120
    assert settings.journal.durability == "process"
    assert settings.config_file is None
    assert settings.models_dir == tmp_path / "inferway" / "models"


def test_the_data_folder_is_the_users_own_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load(environ={}).data_dir == tmp_path / ".local/share/inferway"


def test_flags_beat_variables_beat_the_file_beats_defaults(tmp_path: Path) -> None:
    toml = "[server]\nhost = '10.0.0.1'\nport = 1111\nworkers = 2\n"
    env = {"INFERWAY_SERVER__PORT": "2222", "INFERWAY_SERVER__WORKERS": "3"}
    server = read(tmp_path, env, toml, server__workers=4).server
    assert (server.host, server.port, server.workers) == ("10.0.0.1", 2222, 4)


def test_a_flag_that_was_not_given_changes_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, {"INFERWAY_SERVER__PORT": "2222"}, server__port=None).server.port == 2222


def test_the_file_is_found_by_flag_then_variable_then_data_folder(tmp_path: Path) -> None:
    for name, port in (("flag", 1), ("variable", 2), ("inferway", 3)):
        (tmp_path / f"{name}.toml").write_text(f"server.port = {port}")
    env = {"INFERWAY_DATA_DIR": str(tmp_path)}
    assert load(environ=env).server.port == 3
    env |= {"INFERWAY_CONFIG": str(tmp_path / "variable.toml")}
    assert load(environ=env).server.port == 2
    settings = load(environ=env, config=tmp_path / "flag.toml")
    assert settings.server.port == 1
    assert settings.config_file == tmp_path / "flag.toml"


def test_a_named_file_may_choose_the_data_folder(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f"data_dir = '{tmp_path}/data'")
    assert load(environ={}, config=file).data_dir == tmp_path / "data"
    assert (
        load(environ={}, config=file, overrides={"data_dir": tmp_path / "flag"}).data_dir == tmp_path / "flag"
    )


def test_a_file_in_the_data_folder_cannot_move_it(tmp_path: Path) -> None:
    assert "data_dir" in refusal(tmp_path, toml="data_dir = '/elsewhere'")


def test_variables_can_hold_lists_tables_and_switches(tmp_path: Path) -> None:
    env = {
        "INFERWAY_SERVER__ALLOWED_HOSTS": "a.example, b.example",
        "INFERWAY_LOCAL__PULL_DEFAULTS": "off",
        "INFERWAY_LOCAL__ENABLED": "TRUE",
        "INFERWAY_CALLS__TIMEOUT_S": "2.5",
        "INFERWAY_PROVIDERS__GROQ__BASE_URL": "https://groq.example/v1",
        "INFERWAY_PROVIDERS__GROQ__HEADERS": '{"x-team": "blue"}',
    }
    settings = read(tmp_path, env)
    assert settings.server.allowed_hosts == ("a.example", "b.example")
    assert settings.local.pull_defaults is False
    assert settings.local.enabled is True
    assert settings.calls.timeout_s == 2.5
    assert settings.providers["groq"].headers == {"x-team": Secret("blue")}


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    env = {"INFERWAY_SERVER__PORT": "", "OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""}
    settings = read(tmp_path, env)
    assert settings.server.port == 8080
    assert settings.providers["openai"].api_key is None
    assert settings.providers["openai"].base_url is None


STANDARD = {
    "OPENAI_API_KEY": ("openai", "api_key"),
    "OPENAI_BASE_URL": ("openai", "base_url"),
    "OPENAI_ORG_ID": ("openai", "organization"),
    "OPENAI_PROJECT_ID": ("openai", "project"),
    "ANTHROPIC_API_KEY": ("anthropic", "api_key"),
    "ANTHROPIC_AUTH_TOKEN": ("anthropic", "auth_token"),
    "ANTHROPIC_BASE_URL": ("anthropic", "base_url"),
    "GEMINI_API_KEY": ("google", "api_key"),
    "GOOGLE_API_KEY": ("google", "api_key"),
    "GOOGLE_GEMINI_BASE_URL": ("google", "base_url"),
    "GOOGLE_GENAI_API_VERSION": ("google", "api_version"),
    "GOOGLE_CLOUD_PROJECT": ("google", "project"),
    "GOOGLE_CLOUD_LOCATION": ("google", "location"),
    "GOOGLE_VERTEX_BASE_URL": ("google", "vertex_base_url"),
    "GOOGLE_APPLICATION_CREDENTIALS": ("google", "credentials_file"),
}


@pytest.mark.parametrize("variable", STANDARD)
def test_a_providers_standard_variable_reaches_its_setting(variable: str, tmp_path: Path) -> None:
    provider, field = STANDARD[variable]
    value = getattr(read(tmp_path, {variable: "https://value.example"}).providers[provider], field)
    assert (value.reveal() if isinstance(value, Secret) else value) == "https://value.example"


def test_google_api_key_wins_over_gemini_api_key(tmp_path: Path) -> None:
    for env in (
        {"GOOGLE_API_KEY": "a", "GEMINI_API_KEY": "b"},
        {"GEMINI_API_KEY": "b", "GOOGLE_API_KEY": "a"},
    ):
        assert read(tmp_path, env).providers["google"].api_key == Secret("a")


def test_vertex_and_custom_headers_are_read_as_their_sdks_do(tmp_path: Path) -> None:
    env = {"GOOGLE_GENAI_USE_VERTEXAI": "true", "OPENAI_CUSTOM_HEADERS": "X-One: 1\nX-Two: a: b\n"}
    providers = read(tmp_path, env).providers
    assert providers["google"].use_vertex is True
    assert providers["openai"].headers == {"X-One": Secret("1"), "X-Two": Secret("a: b")}


def test_what_names_inferway_beats_a_standard_variable(tmp_path: Path) -> None:
    env = {"OPENAI_API_KEY": "shell"}
    assert read(tmp_path, env).providers["openai"].api_key == Secret("shell")
    assert read(tmp_path, env, "providers.openai.api_key = 'file'").providers["openai"].api_key == Secret(
        "file"
    )
    env |= {"INFERWAY_PROVIDERS__OPENAI__API_KEY": "ours"}
    assert read(tmp_path, env).providers["openai"].api_key == Secret("ours")


def test_an_openai_compatible_server_is_two_lines(tmp_path: Path) -> None:
    toml = "[providers.my-vllm]\nbase_url = 'http://127.0.0.1:8000/v1'\n"
    provider = read(tmp_path, toml=toml).providers["my-vllm"]
    assert (provider.kind, provider.base_url, provider.enabled) == (
        "openai_compatible",
        "http://127.0.0.1:8000/v1",
        True,
    )
    assert provider.pass_media_urls is False


def test_a_key_may_be_named_by_its_variable(tmp_path: Path) -> None:
    toml = "[providers.groq]\nbase_url = 'https://groq.example/v1'\napi_key_env = 'GROQ_API_KEY'\n"
    assert read(tmp_path, {"GROQ_API_KEY": "gsk"}, toml).providers["groq"].api_key == Secret("gsk")
    message = refusal(tmp_path, toml=toml)
    assert "GROQ_API_KEY is not set" in message
    assert "Export it" in message
    assert not read(tmp_path, toml=toml + "enabled = false").providers["groq"].enabled


def test_the_fake_provider_is_off_until_it_is_enabled(tmp_path: Path) -> None:
    assert read(tmp_path).providers["fake"].enabled is False
    assert read(tmp_path, toml="[providers.fake]").providers["fake"].enabled is False
    fake = read(tmp_path, toml="[providers.fake]\nenabled = true").providers["fake"]
    assert (fake.enabled, fake.kind) == (True, "fake")
    assert read(tmp_path, {"INFERWAY_PROVIDERS__FAKE__ENABLED": "1"}).providers["fake"].enabled is True


def test_prices_can_be_overridden_by_provider_and_model(tmp_path: Path) -> None:
    toml = '[prices."openai/gpt-x"]\ninput = 2\noutput = 8.5\n'
    price = read(tmp_path, toml=toml).prices["openai/gpt-x"]
    assert (price.input, price.output, price.cached_read) == (2, 8.5, None)


@pytest.mark.parametrize("name", [row.name for row in describe() if row.name.startswith("prices.NAME.")])
def test_every_price_can_be_set_and_has_bounds(name: str, tmp_path: Path) -> None:
    field = name.rpartition(".")[2]
    price = read(tmp_path, toml=f'[prices."openai/gpt-x"]\n{field} = 0.25\n').prices["openai/gpt-x"]
    assert getattr(price, field) == 0.25
    assert field in refusal(tmp_path, toml=f'[prices."openai/gpt-x"]\n{field} = -1\n')


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[server]\nprot = 80", ["server.prot", "Did you mean server.port?"]),
        ("[sever]\nport = 80", ["sever", "Did you mean server.…?"]),
        ("port = 80", ["port", "Did you mean server.port?"]),
        (
            "[providers.openai]\napikey = 'x'",
            ["providers.openai.apikey", "Did you mean providers.openai.api_key?"],
        ),
        ("[server]\nzzzzz = 1", ["server.zzzzz", "server has host, port"]),
        ("zzzzz = 1", ["zzzzz", "has data_dir, server"]),
        ("[server]\nport = '80'", ["server.port", "expected int"]),
        ("[server]\nport = 70000", ["server.port", "expected int <= 65535"]),
        ("[server]\nport = true", ["server.port", "expected int"]),
        ("[calls]\ntimeout_s = nan", ["calls.timeout_s", "expected float"]),
        ("[calls]\ntimeout_s = inf", ["calls.timeout_s", "expected float"]),
        ("[calls]\ntimeout_s = 0", ["calls.timeout_s", "expected float > 0"]),
        ("[journal]\ndurability = 'disk'", ["journal.durability", "'disk'"]),
        ("server = 3", ["server is a section"]),
        ("providers = 3", ["Write [providers.NAME]"]),
        ("[providers]\nopenai = 3", ["providers.openai is a section"]),
        ("[providers.local]", ["providers.local", "[local]"]),
        ("[providers.gemini]", ["providers.gemini", "[providers.google]"]),
        ("[providers.'Bad Name']\nbase_url='http://a'", ["lower-case"]),
        ("[providers.google]\nkind = 'openai'", ["its kind is google"]),
        ("[providers.x]\nkind = 'azure'", ["providers.x.kind"]),
        ("[providers.x]\nbase_url = 'ftp://host'", ["providers.x: base_url", "https://host/v1"]),
        ("[providers.x]\nbase_url = 'http://user:pw@host'", ["providers.x: base_url"]),
        ("[providers.x]\nbase_url = 'http://host:99999'", ["providers.x: base_url"]),
        ("[providers.x]\nbase_url = 'http://host/v1?key=1'", ["providers.x: base_url"]),
        ("[providers.openai]\nheaders = {'bad name' = 'x'}", ["providers.openai: headers", "bad name"]),
        ('[providers.openai]\nheaders = {X = "a\\nb"}', ["providers.openai: headers"]),
        ("[providers.openai]\napi_key = 5", ["providers.openai.api_key", "expected text"]),
        ("[server\nport = 1", ["not TOML", "line 1"]),
        ("[access]\nrefresh_s = 60", ["access.refresh_s"]),
        ("[media]\nallow_networks = ['10.0.0.300/8']", ["media", "10.0.0.300"]),
        ("[media]\nallow_ports = [0]", ["media.allow_ports"]),
        ("prices.'a/b'.input = -1", ["prices.a/b.input"]),
    ],
)
def test_a_bad_setting_is_refused_in_one_line_that_names_file_and_setting(
    toml: str, words: list[str], tmp_path: Path
) -> None:
    message = refusal(tmp_path, toml=toml)
    assert str(tmp_path / "inferway.toml") in message or "providers." in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("INFERWAY_SERVER__PROT", "80", ["Did you mean INFERWAY_SERVER__PORT?"]),
        ("INFERWAY_PORT", "80", ["Did you mean INFERWAY_SERVER__PORT?"]),
        ("INFERWAY_HOST", "::", ["Did you mean INFERWAY_SERVER__HOST?"]),
        ("INFERWAY_SERVER__PORT", "eighty", ["INFERWAY_SERVER__PORT", "expected int", "TCP port"]),
        ("INFERWAY_SERVER", "x", ["server is a section"]),
        ("INFERWAY_LOCAL__ENABLED", "maybe", ["local.enabled", "expected bool"]),
        ("INFERWAY_PROVIDERS__OPENAI__HEADERS", "{", ["providers.openai.headers"]),
        ("OPENAI_BASE_URL", "api.openai.com", ["providers.openai: base_url"]),
        ("OPENAI_CUSTOM_HEADERS", "no colon", ["OPENAI_CUSTOM_HEADERS"]),
        ("INFERWAY_CONFIG", "/nowhere/x.toml", ["/nowhere/x.toml", "no such file", "--config"]),
    ],
)
def test_a_bad_variable_is_refused_by_its_name(
    variable: str, value: str, words: list[str], tmp_path: Path
) -> None:
    message = refusal(tmp_path, {variable: value})
    for word in words:
        assert word in message


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inferway.toml").write_bytes(b"a = '\xff'")
    assert "not TOML" in refusal(tmp_path)
    (tmp_path / "inferway.toml").unlink()
    (tmp_path / "inferway.toml").mkdir()
    assert "is a directory" in refusal(tmp_path)


def test_variables_of_kubernetes_and_of_tests_are_left_alone(tmp_path: Path) -> None:
    env = {
        "INFERWAY_PORT": "tcp://10.0.0.1:8080",
        "INFERWAY_PORT_8080_TCP_ADDR": "10.0.0.1",
        "INFERWAY_SERVICE_HOST": "10.0.0.1",
        "INFERWAY_TEST_RECORDINGS": "folder",
    }
    assert read(tmp_path, env) == read(tmp_path)


def test_the_client_has_short_variable_names(tmp_path: Path) -> None:
    env = {"INFERWAY_URL": "http://h:1", "INFERWAY_API_KEY": "sk_x", "INFERWAY_NAMESPACE": "blue"}
    client = read(tmp_path, env).client
    assert (client.url, client.api_key, client.namespace) == ("http://h:1", Secret("sk_x"), "blue")


def test_secrets_never_show_in_any_rendering(tmp_path: Path) -> None:
    env = {
        "OPENAI_API_KEY": "canary-1",
        "ANTHROPIC_AUTH_TOKEN": "canary-2",
        "OPENAI_CUSTOM_HEADERS": "X-Auth: canary-3",
        "INFERWAY_API_KEY": "canary-4",
    }
    settings = read(tmp_path, env)
    key = settings.providers["openai"].api_key
    assert key is not None
    assert key.reveal() == "canary-1"
    shown = f"{settings!r} {settings} {key} {key!r} {key:>10} {[key]}"
    assert "canary" not in shown


def test_a_secret_of_the_wrong_type_is_not_echoed(tmp_path: Path) -> None:
    assert "canary" not in refusal(tmp_path, toml="[providers.openai]\napi_key = ['canary']")


def test_settings_travel_to_worker_processes(tmp_path: Path) -> None:
    settings = read(tmp_path, {"OPENAI_API_KEY": "k"}, "[server]\nport = 9")
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert copy.deepcopy(settings) == settings


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    with pytest.raises(AttributeError):
        read(tmp_path).server.port = 1  # type: ignore[misc]


def test_every_setting_is_described_with_type_and_variable() -> None:
    rows = {row.name: row for row in describe()}
    assert rows["server.port"].env == "INFERWAY_SERVER__PORT"
    assert rows["server.port"].type == "integer 0 to 65535"
    assert rows["server.port"].default == "8080"
    assert rows["data_dir"].env == "INFERWAY_DATA_DIR"
    assert rows["providers.NAME.api_key"].type == "secret"
    assert rows["journal.durability"].type == "process | power"
    assert rows["prices.NAME.input"].env is None
    for row in rows.values():
        assert row.description.endswith("."), row.name
        assert row.type, row.name


def test_every_described_variable_is_accepted(tmp_path: Path) -> None:
    samples = {
        "text": "x",
        "secret": "x",
        "list of text": "a",
        "table": "{}",
        "true | false": "true",
        "path": "/tmp",
    }
    for row in describe():
        if row.env is None:
            continue
        name = row.env.replace("__NAME__", "__OPENAI__")
        unset = "7" if row.type.startswith("integer") else row.type.split(" ")[0]
        sample = samples.get(row.type) or row.default or unset
        sample = "https://host" if row.name.endswith(("url", "endpoint")) else sample
        sample = "HOME" if row.name.endswith("_env") else "openai" if row.name.endswith("kind") else sample
        sample = "10.0.0.0/8" if row.name.endswith(("networks", "proxies")) else sample
        home = {} if row.name == "data_dir" else {"INFERWAY_DATA_DIR": str(tmp_path)}
        load(environ=home | {name: sample, "HOME": "x"})
