"""What the command line reads and prints, in the small."""

from datetime import UTC, datetime, timedelta

import pytest

from inferway.app.samples import coming_samples, local_samples, provider_samples
from inferway.cli.answers import lines_of, plain, summary_of
from inferway.cli.keys import parse_expiry
from inferway.errors import OperatorError
from inferway.settings import ProviderSettings, Secret

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90m", NOW + timedelta(minutes=90)),
        ("12h", NOW + timedelta(hours=12)),
        ("30d", NOW + timedelta(days=30)),
        ("8w", NOW + timedelta(weeks=8)),
        ("2030-01-31", datetime(2030, 1, 31, tzinfo=UTC)),
        ("2030-01-31T12:00Z", datetime(2030, 1, 31, 12, tzinfo=UTC)),
        ("2030-01-31T12:00+02:00", datetime(2030, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_an_expiry_is_a_duration_or_a_moment(text: str, moment: datetime) -> None:
    assert parse_expiry(text, NOW) == moment


@pytest.mark.parametrize(
    "text",
    ["", "30", "d", "0d", "-1d", "30 days", "soon", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00+01:00"],
)
def test_other_expiries_are_refused_with_what_may_be_written(text: str) -> None:
    with pytest.raises(OperatorError, match="write 90m"):
        parse_expiry(text, NOW)


def test_a_model_s_control_characters_are_taken_out_and_its_words_are_not() -> None:
    assert plain("a\x1b[31mb\x07\r\nc\td\u0085é") == "a[31mb\nc\tdé"


def test_each_kind_of_answer_has_its_lines() -> None:
    completions = [{"text": "hi"}, {"error": {"message": "no"}}, {"text": "{}", "parsed": {"a": 1}}]
    assert list(lines_of({"data": {"completions": completions}})) == ["hi", "(failed: no)", '{\n  "a": 1\n}']
    assert list(lines_of({"data": {"embedding": [0.5] * 8}})) == [
        "[0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000, ...] (8 numbers; --json prints all)"
    ]
    assert list(lines_of({"data": {"text": "spoken"}})) == ["spoken"]


def test_the_summary_tells_what_was_changed_and_never_a_price_that_is_not_known() -> None:
    answer = {
        "provider": "openai",
        "model": "gpt-5.4-mini",
        "latency_ms": 1234.5,
        "tokens_used": {"total": 30},
        "cost_usd": None,
        "adaptations": [{"field": "seed", "action": "dropped", "reason": "the model takes none"}],
        "warnings": ["careful"],
    }
    assert summary_of(answer) == (
        "[openai gpt-5.4-mini, 1.23 s, 30 tokens]\nseed dropped: the model takes none\ncareful"
    )
    assert summary_of(answer | {"cost_usd": 0.00125}).startswith(
        "[openai gpt-5.4-mini, 1.23 s, 30 tokens, $0.00125]"
    )


class Model:
    """One row of a desk."""

    def __init__(self, model: str, operation: str, state: str) -> None:
        self.id, self.operation, self.state, self.quality = model, operation, state, "minimal"


class Desk:
    """A desk with these models; `broken` lack their engine."""

    def __init__(self, *models: Model, broken: tuple[str, ...] = ()) -> None:
        self._models, self._broken = models, broken

    def list(self) -> tuple[Model, ...]:
        return self._models

    def missing_packages(self, name: str) -> tuple[str, ...]:
        return ("engine",) if name in self._broken else ()


def test_the_call_that_is_offered_is_one_that_can_be_answered() -> None:
    chat, embedding = Model("chat", "chat", "pulled"), Model("embed", "text_embedding", "pulled")
    missing = Model("chat", "chat", "missing")
    assert [each.model for each in local_samples(Desk(embedding, chat))] == ["chat"]
    assert [each.model for each in local_samples(Desk(embedding, missing))] == ["embed"]
    assert [each.model for each in local_samples(Desk(embedding, chat, broken=("chat",)))] == ["embed"]
    assert local_samples(Desk(missing)) == ()


def test_a_model_on_its_way_is_offered_when_its_engine_is_here() -> None:
    chat, other = Model("chat", "chat", "missing"), Model("big", "chat", "missing")
    (found,) = coming_samples(Desk(other, chat), ["embed", "chat"])
    assert found.model == "chat"
    assert "still being fetched" in found.title
    assert coming_samples(Desk(chat, broken=("chat",)), ["chat"]) == ()


def test_a_provider_is_offered_when_it_has_a_key() -> None:
    openai = ProviderSettings(kind="openai", api_key=Secret("sk-x"))
    keyless = ProviderSettings(kind="anthropic")
    [sample] = provider_samples({"openai": openai, "anthropic": keyless})
    line = sample.curl("http://127.0.0.1:1", "sk_key", "default")
    assert line.startswith("curl -sS http://127.0.0.1:1/v1/inference -H 'Authorization: Bearer sk_key'")
    assert "\n" not in line
    assert "sk-x" not in line
