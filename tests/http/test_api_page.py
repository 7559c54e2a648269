"""Every example of `docs/api.md` is sent to a real server and answered as the page says."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from inferway.pipeline.answer import Answer
from inferway.pipeline.parameters import read_parameters
from inferway.pipeline.request import Body
from tests.http.kit import Gateway, running

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")
_BLOCK = re.compile(r"^<!-- (request|answer \d+|events) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VARYING = ("request_id",)


class Example(NamedTuple):
    """A request with what the page says of its answer."""

    request: str
    status: int
    answer: str
    is_stream: bool


def examples() -> list[Example]:
    """The pairs of the page, in order."""
    blocks = _BLOCK.findall(PAGE)
    assert len(blocks) == PAGE.count("```") // 2, "a block is neither a request nor an answer"
    pairs = list(zip(blocks[::2], blocks[1::2], strict=True))
    assert all(first[0] == "request" != second[0] for first, second in pairs)
    return [
        Example(request, 200 if kind == "events" else int(kind.split()[1]), answer, kind == "events")
        for (_, request), (kind, answer) in pairs
    ]


@pytest.fixture(scope="module")
def fake_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("page"), INFERWAY_PROVIDERS__FAKE__ENABLED="true") as started:
        yield started


def _holds(said: Any, found: Any, place: str = "") -> Iterator[str]:
    """Where the answer is not as the page says; objects may hold more than is shown."""
    if isinstance(said, dict) and isinstance(found, dict):
        for name, value in said.items():
            if name not in _VARYING:
                yield from _holds(value, found.get(name), f"{place}/{name}")
    elif isinstance(said, list) and isinstance(found, list) and len(said) == len(found):
        for index, (one, other) in enumerate(zip(said, found, strict=True)):
            yield from _holds(one, other, f"{place}/{index}")
    elif said != found:
        yield f"{place}: the page says {said!r}, the server {found!r}"


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.request[:70].replace("\n", " "))
def test_an_example_is_answered_as_the_page_says(fake_gateway: Gateway, example: Example) -> None:
    found = fake_gateway.request("POST", "/v1/inference", example.request.encode(), fake_gateway.headers())
    assert found.status == example.status
    if example.is_stream:
        said, sent = _events(example.answer), _events(found.body.decode())
        assert [name for name, _ in said] == [name for name, _ in sent]
        assert not list(_holds([list(each) for each in said], [list(each) for each in sent]))
    else:
        assert not list(_holds(json.loads(example.answer), found.json()))


def _events(text: str) -> list[tuple[str, Any]]:
    return [(name, json.loads(data)) for name, data in re.findall(r"event: (\w+)\ndata: (.*)\n", text)]


def _first_column(heading: str) -> set[str]:
    """The names in the first column of the table under a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_the_page_lists_every_field_of_body_and_answer() -> None:
    assert _first_column("Body") == set(Body.__struct_fields__)
    assert _first_column("Answer") == set(Answer.__struct_fields__)


def test_the_page_lists_the_parameters_that_are_read() -> None:
    names = _first_column("Parameters")
    unknown = read_parameters({name: msgspec.Raw(b"null") for name in [*names, "nonsense"]}).unknown
    assert unknown == ("nonsense",)
    assert names >= {"temperature", "schema", "strict", "repair", "extra", "timeout_s"}
    fields = set(type(read_parameters({})).__struct_fields__) - {"unknown"}
    assert names == fields
