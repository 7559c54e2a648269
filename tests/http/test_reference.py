"""The reference pages show every operation, to everybody, and lead nowhere that is not there."""

import re
from collections.abc import Iterator

import pytest

from tests.http.browsing import Browser
from tests.http.kit import Gateway, running


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("reference")) as started:
        yield started


def page(house: Gateway, path: str) -> str:
    answer = house.request("GET", path, headers={"accept": "text/html"})
    assert answer.status == 200, path
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    return answer.body.decode()


def test_every_operation_has_a_page_with_all_its_fields(house: Gateway) -> None:
    document = house.request("GET", "/openapi.json").json()
    first = page(house, "/reference")
    schemas = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            name = operation["operationId"]
            assert f'href="/reference/{name}"' in first
            shown = page(house, f"/reference/{name}")
            assert f"<code>{method.upper()} {path}</code>" in shown
            for status in operation["responses"]:
                assert f"<code>{status}</code>" in shown
            for each in operation.get("parameters", ()):
                assert "$ref" in each or f"<code>{each['name']}</code>" in shown
            for shape in re.findall(r'<h3 id="shape-(\w+)"', shown):
                for field in schemas[shape].get("properties", {}):
                    assert f"<code>{field}</code>" in shown


def test_every_link_leads_to_something_and_nothing_is_scripted_in_the_page(house: Gateway) -> None:
    for path in ("/reference", "/reference/infer", "/reference/create_key", "/reference/get_usage"):
        shown = page(house, path)
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|<script>", shown)
        assert not re.search(r'(?:src|href)="(?:https?:)?//', shown)
        ids = set(re.findall(r'\bid="([^"]+)"', shown))
        for target in re.findall(r'href="#([^"]+)"', shown):
            assert target in ids
        assert len(shown.encode()) < 100_000
        assert shown.count("<h1") == shown.count("<main") == 1


def test_the_inference_call_is_shown_with_examples_and_events(house: Gateway) -> None:
    shown = page(house, "/reference/infer")
    for text in ("prompts", "response_format", "all-minilm-l6-v2", "tool_call_delta", "Idempotency-Key"):
        assert text in shown


def test_who_is_signed_in_sees_the_reference_within_the_dashboard(house: Gateway) -> None:
    browser = Browser(house).sign_in()
    assert "Sign out" in browser.get("/reference").body.decode()


@pytest.mark.parametrize("name", ["nothing", "%3Cscript%3E", "x" * 500])
def test_what_is_no_operation_has_no_page(house: Gateway, name: str) -> None:
    answer = house.request("GET", f"/reference/{name}", headers={"accept": "text/html"})
    assert answer.status == 404
    assert "<script>" not in answer.body.decode()
