"""What is told of a model's parameters is what its translator does with them."""

from typing import cast

import pytest

from docs.generator.features import rows
from inferway.pipeline.abilities import TRIED, Ability, find_abilities
from inferway.providers.base import Provider
from inferway.providers.fake import build
from inferway.providers.parameters import PARAMETERS_OF
from inferway.types import Operation


def _ability(provider: Provider, model: str, operation: Operation, name: str) -> Ability:
    served = find_abilities(provider, model, operation)
    assert served.served, served.reason
    return next(each for each in served.parameters if each.name == name)


def test_every_parameter_of_every_operation_is_tried() -> None:
    assert {operation: tuple(tried) for operation, tried in TRIED.items()} == dict(PARAMETERS_OF)


@pytest.mark.parametrize(
    ("row", "model", "name", "minimum", "maximum"),
    [
        ("openai", "gpt-4o", "temperature", 0, 2),
        ("anthropic", "claude-haiku-4-5", "temperature", 0, 1),
        ("openai", "gpt-4o", "max_tokens", 1, 16_384),
        ("anthropic", "claude-haiku-4-5", "max_tokens", 1, 64_000),
        ("openai", "nobody-knows-it", "max_tokens", 1, None),
        ("google (Gemini API)", "gemini-2.5-flash", "seed", -(2**31), 2**31 - 1),
        ("local", "smollm2", "seed", 0, 2**32 - 2),
        ("openai", "gpt-4o", "seed", None, None),
        ("openai", "gpt-4o", "top_p", 0, 1),
    ],
)
def test_bounds_of_numbers(
    row: str, model: str, name: str, minimum: float | None, maximum: float | None
) -> None:
    found = _ability(rows()[row], model, Operation.CHAT, name)
    assert (found.taken, found.minimum, found.maximum) == (True, minimum, maximum)


def test_lists_and_words_have_their_own_bounds() -> None:
    assert _ability(rows()["openai"], "gpt-4o", Operation.CHAT, "stop").at_most == 4
    assert _ability(rows()["anthropic"], "claude-haiku-4-5", Operation.CHAT, "stop").at_most is None
    efforts = _ability(rows()["openai"], "gpt-5-mini", Operation.CHAT, "reasoning_effort").choices
    assert efforts == ("minimal", "low", "medium", "high")
    details = _ability(rows()["openai"], "gpt-4o-transcribe", Operation.TRANSCRIPTION, "response_format")
    assert details.choices == ("text",)


def test_what_is_dropped_or_refused_says_why() -> None:
    dropped = _ability(rows()["openai"], "gpt-5-mini", Operation.CHAT, "temperature")
    assert (dropped.taken, dropped.reason) == (False, "this model does not take it")
    refused = _ability(rows()["local"], "smollm2", Operation.CHAT, "tool_choice")
    assert not refused.taken
    assert "cannot call tools" in str(refused.reason)


def test_an_operation_that_a_model_does_not_serve_says_why() -> None:
    wrong = find_abilities(rows()["local"], "smollm2", Operation.TRANSCRIPTION)
    assert not wrong.served
    assert "does chat, not transcription" in str(wrong.reason)
    missing = find_abilities(rows()["anthropic"], "claude-haiku-4-5", Operation.TEXT_EMBEDDING)
    assert (missing.served, missing.reason) == (False, "anthropic does not serve it")
    unseeing = find_abilities(rows()["openai"], "gpt-4", Operation.VISION)
    assert not unseeing.served


def test_the_models_that_people_are_offered_do_what_is_said_of_them() -> None:
    listed = 0
    for row in (*rows().values(), build()):
        for model in row.names():
            stated = cast("tuple[str, ...]", row.facts(model).get("operations", ()))
            for operation in stated:
                if row.capability(Operation(operation)) is not None:
                    listed += 1
                    served = find_abilities(row, model, Operation(operation))
                    # Vertex AI's own models say so where there is no Vertex AI.
                    assert served.served or "Vertex" in str(served.reason), (model, operation, served.reason)
    assert listed > 30
