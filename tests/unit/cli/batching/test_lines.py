"""Bytes cut into lines, and lines read as calls."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from inferway.cli.batching.lines import BadLine, Job, Line, Splitter, lines_of, read_job

TEXT = b'\xef\xbb\xbf{"a": 1}\n\n   \r\n{"b": 2}\r\nlast'


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_lines_are_the_same_however_the_bytes_come(size: int) -> None:
    splitter = Splitter()
    found = [line for at in range(0, len(TEXT), size) for line in splitter.feed(TEXT[at : at + size])]
    found += splitter.finish()
    assert [(line.number, line.text) for line in found] == [(1, b'{"a": 1}'), (4, b'{"b": 2}'), (5, b"last")]


def test_of_an_endless_line_only_so_much_is_kept() -> None:
    splitter = Splitter(max_bytes=10)
    [line] = [*splitter.feed(b"x" * 8), *splitter.feed(b"x" * 1000 + b"\n")]
    assert len(line.text) == 11


def test_a_pipe_and_a_file_are_read_alike(tmp_path: Path) -> None:
    async def read(file: int) -> list[Line]:
        return [line async for line in lines_of(file)]

    reading, writing = os.pipe()
    os.write(writing, TEXT)
    os.close(writing)
    (tmp_path / "in").write_bytes(TEXT)
    file = os.open(tmp_path / "in", os.O_RDONLY)
    piped, filed = asyncio.run(read(reading)), asyncio.run(read(file))
    os.close(reading)
    os.close(file)
    assert piped == filed
    assert len(piped) == 3


@pytest.mark.parametrize(
    ("text", "id_"),
    [('{"inputs": {}}', None), ('{"id": "a", "inputs": {}}', "a"), ('{"custom_id": 7, "inputs": {}}', 7)],
)
def test_a_line_is_a_body_with_an_id_of_the_caller(text: str, id_: object) -> None:
    job = read_job(Line(number=3, text=text.encode()))
    assert isinstance(job, Job)
    assert (job.number, job.id, job.body) == (3, id_, {"inputs": {}})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{", "not JSON: expecting"),
        (b"[]", "a JSON object"),
        (b"\xff{}", "byte 1 is not UTF-8"),
        (b'{"a": NaN}', "NaN is no number"),
        (b'{"a": "\\ud800"}', "half of a character pair"),
        (b"[" * 200_000, "nests too deeply"),
        (b'{"id": 1, "custom_id": 2}', "own id"),
        (b'{"id": true}', "own id"),
        (b'{"id": null}', "own id"),
        (b'{"stream": true}', "take `stream` away"),
    ],
)
def test_a_line_that_is_no_call_says_why(text: bytes, reason: str) -> None:
    found = read_job(Line(number=1, text=text))
    assert isinstance(found, BadLine)
    assert reason in found.message


def test_a_sum_is_of_the_whole_line() -> None:
    one, two = (Line(number=1, text=json.dumps({"a": value}).encode()) for value in (1, 2))
    assert one.sum != two.sum
    assert len(one.sum) == 16
