"""The tables of the documentation are what the code does, and what the code does is what the providers' references say."""

import pytest

from docs.generator import facts, failures, features, pages
from inferway.providers.errors import ProviderSaid, get_rule
from inferway.providers.openai.quirks import load_servers
from inferway.providers.parameters import CARRIED, PARAMETERS_OF
from inferway.types import Operation, Parameters
from tests.unit.docs import expected


@pytest.mark.parametrize("name", pages.PAGES)
def test_a_page_holds_what_the_code_generates(name: str) -> None:
    page = (pages.FOLDER / name).read_text("utf-8")
    assert page == pages.fill(page), "run: make docs"


def test_every_generated_table_stands_on_one_page() -> None:
    held = [
        held for name in pages.PAGES for held in pages.tables_in((pages.FOLDER / name).read_text("utf-8"))
    ]
    assert sorted(held) == sorted(pages.TABLES)


def _as_written(cell: features.Cell) -> str:
    if not cell.served:
        return "-"
    if cell.refused is not None:
        return "refuse"
    if cell.dropped is not None:
        return "drop"
    limit = "" if cell.at_most is None else f"≤{cell.at_most:.10g}"
    return "+".join(cell.fields) + limit


@pytest.mark.parametrize("row", expected.ROWS, ids=lambda row: f"{row[0]} {row[1]}")
def test_a_parameter_goes_where_the_reference_says(row: tuple[str, ...]) -> None:
    operation, name, *cells = row
    found = [_as_written(features.cell(column, Operation(operation), name)) for column in expected.PROVIDERS]
    assert dict(zip(expected.PROVIDERS, found, strict=True)) == dict(
        zip(expected.PROVIDERS, cells, strict=True)
    )


def test_chat_and_the_operations_without_prompts_are_expected_in_full() -> None:
    written = {(operation, name) for operation, name, *_ in expected.ROWS}
    for operation, names in PARAMETERS_OF.items():
        if operation is not Operation.VISION:
            assert {(operation.value, name) for name in names} <= written


@pytest.mark.parametrize("name", PARAMETERS_OF[Operation.VISION])
@pytest.mark.parametrize("column", [name for name in expected.PROVIDERS if name != "local"])
def test_vision_takes_what_chat_takes(column: str, name: str) -> None:
    assert features.cell(column, Operation.VISION, name) == features.cell(column, Operation.CHAT, name)


FOREIGN = [
    (column, operation, name)
    for column in expected.PROVIDERS
    for operation, names in PARAMETERS_OF.items()
    for name in CARRIED
    if name not in names and features.rows()[column].capability(operation) is not None
]


@pytest.mark.parametrize(("column", "operation", "name"), FOREIGN)
def test_a_parameter_of_another_operation_is_dropped_and_told(
    column: str, operation: Operation, name: str
) -> None:
    assert features.cell(column, operation, name).dropped


@pytest.mark.parametrize("fact", expected.FACTS, ids=lambda fact: " ".join(map(str, fact[:3])))
def test_a_model_family_is_known_as_the_reference_has_it(fact: tuple[str, str, str, object]) -> None:
    provider, model, name, value = fact
    column = "google (Gemini API)" if provider == "google" else provider
    assert features.rows()[column].facts(model).get(name) == value


@pytest.mark.parametrize("request_row", expected.REQUESTS, ids=lambda row: f"{row[0]} {row[1]}")
def test_an_operation_is_the_request_of_the_reference(request_row: tuple[str, str, str]) -> None:
    column, operation, path = request_row
    prepared = features.prepare(column, Operation(operation), Parameters())
    assert prepared.payload.path.endswith(path)


@pytest.mark.parametrize("error", expected.ERRORS, ids=lambda error: f"{error[0]} {error[1]} {error[2]}")
def test_a_providers_error_is_ours_by_the_reference(error: tuple[str, int, str, int, str, bool]) -> None:
    provider, status, word, our_status, code, again = error
    rules = next(rules for name, rules in failures.PROVIDER_RULES.items() if name.startswith(provider))
    rule = get_rule(rules, ProviderSaid(status=status, words=(word,) if word else ()))
    assert (rule.error.status, rule.error.default_code, rule.is_retryable) == (our_status, code, again)


def test_every_error_of_the_providers_has_one_of_the_eight_statuses() -> None:
    statuses = {rule.error.status for rules in failures.PROVIDER_RULES.values() for rule in rules}
    assert statuses <= {400, 401, 403, 404, 422, 429, 500, 503}


def test_every_code_of_the_source_is_on_the_page() -> None:
    page = (pages.FOLDER / "errors.md").read_text("utf-8")
    missing = [code for code in failures.codes() if f"| `{code}` |" not in page]
    assert not missing, "run: make docs"


def test_every_known_server_is_on_the_page() -> None:
    written = facts.known_servers()
    for server in load_servers():
        assert f"| `{server.name}` |" in written
        assert server.base_url in written


def test_every_fact_of_a_family_has_a_meaning() -> None:
    for provider in facts.PROVIDERS:
        explained = {
            name.strip() for line in facts.legend(provider) for name in line.partition("  ")[0].split(",")
        }
        used = {name for row in facts.families(provider) for name in row if name != "models"}
        assert used <= explained
