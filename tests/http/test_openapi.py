"""The description of the API is true: it names every route and nothing else, and its shapes are those of what is sent."""

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from starlette.routing import Route

from inferway.access.records import Permission
from inferway.errors import BadRequest, CircuitOpen, InvalidShape
from inferway.http.admin.health import PARTS
from inferway.http.dashboard.view import PageRoute
from inferway.http.front import INFERENCE_PATH
from inferway.http.openapi.events import EVENTS
from inferway.http.openapi.failures import ErrorEnvelope
from inferway.http.openapi.words import INPUTS, PARAMETERS, STATUSES
from inferway.http.render import envelope
from inferway.pipeline.inputs import INPUT_TYPES
from inferway.pipeline.parameters import PARAMETER_TYPES
from inferway.types import METERS
from tests.http.kit import Gateway, running

_BESIDE = {"/static/{version}/{name}"}
"""What is no part of the API: files of the dashboard, whose pages are left out by their kind."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("openapi"), INFERWAY_PROVIDERS__FAKE__ENABLED="true") as started:
        yield started


@pytest.fixture(scope="module")
def document(house: Gateway) -> dict[str, Any]:
    answer = house.request("GET", "/openapi.json")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    told: dict[str, Any] = answer.json()
    return told


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, several in document["paths"].items():
        for method, operation in several.items():
            yield method.upper(), path, operation


def validator(document: dict[str, Any], name: str) -> Any:
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


def test_every_route_is_described_and_everything_described_is_a_route(
    house: Gateway, document: dict[str, Any]
) -> None:
    served = {
        (method, re.sub(r":path\}", "}", route.path))
        for route in house.app._front._pages.routes
        for method in (route.methods or ())
        if isinstance(route, Route) and not isinstance(route, PageRoute)
        if method != "HEAD" and route.path not in _BESIDE
    }
    described = {(method, path) for method, path, _ in operations(document)}
    assert described == served


def test_every_route_of_administration_says_what_it_takes_answers_and_needs(
    house: Gateway, document: dict[str, Any]
) -> None:
    async def well() -> None:
        return None

    described = {operation["operationId"]: operation for _, _, operation in operations(document)}
    for endpoint in house.app.office.endpoints(dict.fromkeys(PARTS, well)):
        told = described[endpoint.name]
        asked = {each["name"] for each in told["parameters"] if each.get("in") == "query"}
        assert asked == {each.name for each in endpoint.query}
        assert ("requestBody" in told) == (endpoint.body is not None)
        assert f"`{Permission(endpoint.permission)}`" in told["description"]
        (schema,) = [each["schema"] for each in told["responses"]["200"]["content"].values()]
        assert schema, endpoint.name
        assert {"200", "401", "403", "500", "503"} <= told["responses"].keys()


def test_names_of_operations_are_unique_and_all_have_words(document: dict[str, Any]) -> None:
    listed = list(operations(document))
    names = [operation["operationId"] for _, _, operation in listed]
    assert len(set(names)) == len(names) >= 40
    topics = {each["name"] for each in document["tags"]}
    for _, _, operation in listed:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", operation["operationId"])
        assert operation["summary"]
        assert set(operation["tags"]) <= topics
        assert all("$ref" in each or each["description"] for each in operation.get("parameters", ()))


def test_every_reference_leads_to_something_and_every_schema_is_one(document: dict[str, Any]) -> None:
    references = set(re.findall(r'"\$ref":"#/([^"]+)"', json.dumps(document, separators=(",", ":"))))
    for reference in references:
        found: Any = document
        for step in reference.split("/"):
            found = found[step]
        assert found
    for name, schema in document["components"]["schemas"].items():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
        assert schema["description"], name
        validator(document, name)


def test_the_fields_of_a_call_have_words(document: dict[str, Any]) -> None:
    assert INPUTS.keys() == INPUT_TYPES.keys()
    assert PARAMETERS.keys() == PARAMETER_TYPES.keys()
    schemas = document["components"]["schemas"]
    assert schemas["Inputs"]["properties"].keys() == INPUT_TYPES.keys()
    assert schemas["Parameters"]["properties"].keys() == PARAMETER_TYPES.keys()
    assert set(METERS) == schemas["Meters"]["properties"].keys() == set(METERS)
    assert schemas["Used"]["properties"].keys() == {*METERS, "source", "raw"}


def test_the_examples_are_of_the_shape(document: dict[str, Any]) -> None:
    body = document["paths"][INFERENCE_PATH]["post"]["requestBody"]["content"]["application/json"]
    is_call = validator(document, "InferenceCall")
    assert len(body["examples"]) >= 5
    for example in body["examples"].values():
        is_call.validate(example["value"])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"inputs": {}},
        {"provider": "fake", "model": "m", "inputs": {}},
        {"provider": "fake", "inputs": {"prompts": ["x"]}},
        {"provider": "fake", "model": "m", "inference_name": "p", "inputs": {"prompts": ["x"]}},
        {"provider": "fake", "model": "m", "inputs": {"prompts": "x"}},
        {"provider": "fake", "model": "m", "inputs": {"prompts": []}},
        {"provider": "fake", "model": "m", "inputs": {"prompts": ["x"]}, "nonsense": 1},
        {
            "provider": "fake",
            "model": "m",
            "inputs": {"prompts": ["x"]},
            "parameters": {"temperature": "warm"},
        },
        {"provider": "fake", "model": "m", "inputs": {"prompts": ["x"]}, "cache_delta": 2},
        {"provider": "fake", "model": "m", "inputs": {"prompts": ["x"]}, "fallbacks": [{"provider": "p"}]},
    ],
)
def test_what_the_server_calls_misshapen_is_so_by_the_description(
    house: Gateway, document: dict[str, Any], body: dict[str, Any]
) -> None:
    answer = house.request("POST", INFERENCE_PATH, json.dumps(body).encode(), house.headers())
    assert answer.status == 422
    assert not validator(document, "InferenceCall").is_valid(body)


@pytest.mark.parametrize(
    ("model", "inputs", "more"),
    [
        ("fake-chat", {"prompts": ["a", "b"]}, {}),
        ("fake-chat", {"prompts": ["a"]}, {"parameters": {"schema": {"type": "object"}}}),
        ("fake-embedding", {"text": "a"}, {}),
        ("fake-embedding", {"texts": ["a", "b"]}, {}),
        ("fake-chat", {"prompts": ["a"]}, {"dry_run": True}),
        ("fake-chat", {"prompts": ["a"]}, {"enable_semantic_cache": True}),
    ],
)
def test_answers_are_of_the_shape(
    house: Gateway, document: dict[str, Any], model: str, inputs: dict[str, Any], more: dict[str, Any]
) -> None:
    answer = house.infer(provider="fake", model=model, inputs=inputs, **more)
    assert answer.status == 200
    validator(document, "Answer").validate(answer.json())


@pytest.mark.parametrize("model", ["fake-chat", "fake-chat?tool=weather", "fake-chat?error=failed"])
def test_streamed_events_are_those_that_are_described(
    house: Gateway, document: dict[str, Any], model: str
) -> None:
    tools = [{"name": "weather", "parameters": {"type": "object", "properties": {}}}]
    answer = house.infer(
        provider="fake",
        model=model,
        inputs={"prompts": ["a", "b"]},
        stream=True,
        parameters={"tools": tools, "tool_choice": "required"} if "tool" in model else {},
    )
    if answer.status != 200:
        validator(document, "ErrorEnvelope").validate(answer.json())
        return
    events = re.findall(r"event: (\w+)\ndata: (.*)\n", answer.body.decode())
    assert {"start", "item", "done"} <= {name for name, _ in events} <= EVENTS.keys()
    for name, data in events:
        shape = EVENTS[name].__name__
        validator(document, shape).validate(json.loads(data))
        fields = document["components"]["schemas"][shape]["properties"]
        assert json.loads(data).keys() <= fields.keys()


@pytest.mark.parametrize(
    "error",
    [
        BadRequest("no"),
        BadRequest("no", code="strict", details={"a": 1}),
        InvalidShape.at(["body", "x", 0], "missing", "x"),
        CircuitOpen("no", retry_after_s=3),
    ],
)
def test_failures_are_of_the_shape(document: dict[str, Any], error: Any) -> None:
    told = envelope(error, "req_1")
    validator(document, "ErrorEnvelope").validate(json.loads(msgspec.json.encode(told)))
    assert told.keys() == set(ErrorEnvelope.__struct_fields__)
    assert error.status in STATUSES


def test_whoever_has_the_description_is_not_sent_it_again(house: Gateway) -> None:
    first = house.request("GET", "/openapi.json")
    tag = first.headers["etag"]
    again = house.request("GET", "/openapi.json", headers={"if-none-match": tag})
    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == tag
    other = house.request("GET", "/openapi.json", headers={"if-none-match": '"other"'})
    assert other.status == 200


def test_a_method_that_is_not_served_is_told_those_that_are(house: Gateway) -> None:
    for path, methods in (
        ("/v1/inference", {"POST"}),
        ("/v1/namespaces", {"GET", "HEAD", "POST"}),
        ("/v1/namespaces/x", {"DELETE", "GET", "HEAD", "PATCH", "PUT"}),
        ("/openapi.json", {"GET", "HEAD"}),
    ):
        for method in ("TRACE", "OPTIONS", "PROPFIND"):
            answer = house.request(method, path)
            assert answer.status == 405
            assert set(answer.headers["allow"].split(", ")) == methods


def test_a_parameter_of_the_query_is_given_once(house: Gateway) -> None:
    headers = {"authorization": f"Bearer {house.admin_key}"}
    answer = house.request("GET", "/v1/organizations/users?limit=1&limit=2", headers=headers)
    assert answer.status == 422
    assert answer.json()["error"]["details"]["validation_errors"][0]["location"] == ["query", "limit"]
