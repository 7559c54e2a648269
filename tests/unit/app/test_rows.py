"""Provider rows from settings."""

from pathlib import Path

import pytest

from inferway.app.rows import build_rows
from inferway.providers.base import Provider
from inferway.providers.transport import HttpTransport
from inferway.settings import SettingsError, load
from inferway.types import Operation


def rows(tmp_path: Path, toml: str, **environ: str) -> dict[str, Provider]:
    file = tmp_path / "inferway.toml"
    file.write_text(toml)
    settings = load(config=file, environ={"INFERWAY_DATA_DIR": str(tmp_path), "HOME": "/", **environ})
    return {row.name: row for row in build_rows(settings, HttpTransport())}


def test_the_three_providers_are_there_and_the_fake_one_is_not(tmp_path: Path) -> None:
    assert set(rows(tmp_path, "")) == {"openai", "anthropic", "google"}


def test_the_fake_provider_must_be_asked_for(tmp_path: Path) -> None:
    assert "fake" in rows(tmp_path, "[providers.fake]\nenabled = true")


def test_a_known_server_takes_a_name_and_a_key_and_any_other_an_address(tmp_path: Path) -> None:
    toml = '[providers.groq]\napi_key = "k"\n[providers.mine]\nbase_url = "http://127.0.0.1:9/v1"'
    found = rows(tmp_path, toml)
    for name in ("groq", "mine"):
        assert found[name].kind == "openai_compatible"
        assert Operation.CHAT in found[name].operations


def test_credentials_are_chosen_and_never_shown(tmp_path: Path) -> None:
    found = rows(tmp_path, "", OPENAI_API_KEY="sk-1", ANTHROPIC_AUTH_TOKEN="token-2", GEMINI_API_KEY="key-3")
    assert [(row.credential.secret, row.credential.kind) for row in found.values() if row.credential] == [
        ("sk-1", "api_key"),
        ("token-2", "bearer"),
        ("key-3", "api_key"),
    ]
    for secret in ("sk-1", "token-2", "key-3"):
        assert secret not in repr(found)


def test_facts_of_models_can_be_overridden(tmp_path: Path) -> None:
    found = rows(tmp_path, '[providers.openai.models."my-*"]\ntemperature = false')
    assert found["openai"].facts("my-model")["temperature"] is False


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[providers.nowhere]", ["providers.nowhere", "base_url"]),
        (
            '[providers.mine]\nbase_url = "http://h/v1"\nquirks = {nonsense = 1}',
            ["providers.mine", "nonsense"],
        ),
        ('[providers.google]\ncredentials_file = "/nowhere.json"', ["providers.google", "cannot be read"]),
    ],
)
def test_a_provider_that_cannot_be_made_is_refused_with_what_to_do(
    tmp_path: Path, toml: str, words: list[str]
) -> None:
    with pytest.raises(SettingsError) as caught:
        rows(tmp_path, toml)
    assert all(word in str(caught.value) for word in words)
