"""JSON documents of every kind, in every place of a body: never a 5xx, and what is sent on is JSON."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from tests.http.kit import Gateway, Upstream

BROKEN = (
    b"",
    b"{",
    b"}",
    b"[",
    b"]",
    b"[1,]",
    b"[,1]",
    b"[1,,2]",
    b"[1 true]",
    b'{"a":1,}',
    b'{"a" 1}',
    b'{"a":}',
    b"{a:1}",
    b"{'a':1}",
    b'{"a":1 "b":2}',
    b"{1:1}",
    b"[1:2]",
    b"[-]",
    b"[+1]",
    b"[01]",
    b"[-01]",
    b"[1.]",
    b"[.5]",
    b"[1e]",
    b"[1e+]",
    b"[0x1]",
    b"[1_000]",
    b"[Infinity]",
    b"[-Infinity]",
    b"[NaN]",
    b"[nan]",
    b"[tru]",
    b"[True]",
    b"[nul]",
    b'["]',
    b'["\\x"]',
    b'["\\u12"]',
    b'["\\uD83"]',
    b'["\\"]',
    b'["\t"]',
    b'["\n"]',
    b'["a\x00b"]',
    b"[\x0c]",
    b"[1]x",
    b"[1]]",
    b"{}{}",
    b"//c\n{}",
    b"/**/{}",
    b'{"a":/**/1}',
    b"\xef\xbb\xbf",
    b"[\xc2\xa0]",
    b"*",
    b'"',
    b'"a',
    b"\\",
    b'["a"b]',
    b"[1e1.5]",
    b"[--1]",
    b"[1+2]",
    b"[\xd9\xa1]",
    b"[\xef\xbc\x90]",
    b'{"a":1,,"b":2}',
    b"{:1}",
    b'{"a"::1}',
    b'{"a":1}}',
    b'["a",',
    b"[{}",
    b'{"a":[',
    b"undefined",
    b"#{}",
    b"<html>",
    b"[1,2",
    b'"\\',
    b'["\\u{1}"]',
    b"[\xe2\x81\xa0]",
    b'{"a":"b"}/**//',
    b'{"x"::"b"}',
    b'{"a":1 /',
    b"tru",
    b"[1\n\n,",
    b'"\\ud800\\u"',
)
"""Not JSON."""

VALID = (
    b"[]",
    b"{}",
    b"1",
    b"-0",
    b"1e5",
    b"1E-5",
    b'""',
    b"null",
    b"true",
    b"[null]",
    b" [] ",
    b'{"a":1,"a":2}',
    b'{"":0}',
    b'["\\u0000"]',
    b'["\\u0041\\n\\/"]',
    b'["\xc3\xa9"]',
    b'["\\ud83d\\ude00"]',
    b"[1.5e+3]",
    b"[-0.0]",
    b"[123456789]",
    b'{"a":[{"b":[]}]}',
    b'["\xe2\x80\xa8"]',
    b'["\\u2028"]',
    b'"asd"',
    b"[1e-400]",
    b'{"\\u0000":1}',
    b'["\xef\xbf\xbf"]',
    b'["\\uDBFF\\uDFFF"]',
)
"""JSON."""

DOUBTFUL = (
    b"[1e400]",
    b"[-1e9999]",
    b'["\\ud800"]',
    b'["\\udc00"]',
    b'["\\ud800\\n"]',
    b'["\\ud800\\ud800"]',
    b"[123456789012345678901234567890]",
    b"[-123456789012345678901234567890]",
    b"[1e-9999]",
    b"[0.1e400]",
    b'{"\\ud800":1}',
    b'["\\udd1e\\ud834"]',
    b'["\xff"]',
    b'["\xed\xa0\x80"]',
    b'["\xc0\xaf"]',
    b'["\xe0\x80\xaf"]',
    b'["\xf4\xbf\xbf\xbf"]',
    b'["\x80"]',
    b"\xff\xfe[\x00]\x00",
    b"\x00[\x00]",
    b"\xef\xbb\xbf{}",
    b"\xef\xbb\xbf",
    b'{"\xff":1}',
)
"""A reader may take these or not: huge numbers, lone surrogates, bytes that are no UTF-8."""

HEAD = b'{"provider":"openai","model":"m","inputs":'
PLACES = {
    "the body": b"%s",
    "a key that nobody reads": HEAD + b'{"prompts":["a"],"z":%s}}',
    "a native parameter": HEAD + b'{"prompts":["a"]},"parameters":{"extra":{"x":%s}}}',
    "an unknown parameter": HEAD + b'{"prompts":["a"]},"parameters":{"z":%s}}',
    "a plugin's inputs": b'{"inference_name":"p","inputs":{"x":%s}}',
    "a schema": HEAD + b'{"prompts":["a"]},"parameters":{"schema":{"enum":[%s,1]}}}',
    "the prompts": HEAD + b'{"prompts":%s}}',
    "a tool's arguments": HEAD
    + b'{"messages":[{"role":"user","content":"x"},'
    + b'{"role":"assistant","tool_calls":[{"id":"a","name":"b","arguments":{"a":%s}}]},'
    + b'{"role":"tool","tool_call_id":"a","content":"r"}]}}',
    "an unknown field": HEAD + b'{"prompts":["a"]},"z":%s}',
}
TAKEN = ("a key that nobody reads", "a native parameter", "an unknown parameter", "a tool's arguments")


@pytest.fixture
def connection(gateway: Gateway) -> Iterator[HTTPConnection]:
    kept = HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    yield kept
    kept.close()


def sent(gateway: Gateway, connection: HTTPConnection, body: bytes) -> int:
    connection.request("POST", "/v1/inference", body, gateway.headers())
    answer = connection.getresponse()
    assert isinstance(json.loads(answer.read()), dict)
    return answer.status


@pytest.mark.parametrize("place", PLACES)
def test_what_is_not_json_is_a_400(
    gateway: Gateway, upstream: Upstream, connection: HTTPConnection, place: str
) -> None:
    statuses = {
        document: sent(gateway, connection, PLACES[place].replace(b"%s", document)) for document in BROKEN
    }
    assert {document: status for document, status in statuses.items() if status != 400} == {}
    assert upstream.seen == []


@pytest.mark.parametrize("place", PLACES)
def test_json_is_taken_or_refused_for_its_shape(
    gateway: Gateway, upstream: Upstream, connection: HTTPConnection, place: str
) -> None:
    for document in VALID:
        status = sent(gateway, connection, PLACES[place].replace(b"%s", document))
        assert status == 200 if place in TAKEN else status in (200, 404, 422), document
    for seen in upstream.seen:
        assert seen.json()


@pytest.mark.parametrize("place", PLACES)
def test_doubtful_documents_are_the_callers_matter(
    gateway: Gateway, upstream: Upstream, connection: HTTPConnection, place: str
) -> None:
    for document in DOUBTFUL:
        assert sent(gateway, connection, PLACES[place].replace(b"%s", document)) in (200, 400, 404, 422), (
            document
        )
    for seen in upstream.seen:
        assert seen.body.decode("utf-8")
        assert seen.json()


def test_a_hundred_pipelined_calls_are_answered_in_order(gateway: Gateway, upstream: Upstream) -> None:
    body = b'{"provider":"openai","model":"m","inputs":{"prompts":["a"]}}'
    fixed = "".join(f"{name}: {value}\r\n" for name, value in gateway.headers().items()).encode()
    calls = [
        b"POST /v1/inference HTTP/1.1\r\nhost: here\r\nx-request-id: call-%d\r\ncontent-length: %d\r\n%s\r\n%s"
        % (number, len(body), fixed, body)
        for number in range(100)
    ]
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as client:
        writer = threading.Thread(target=client.sendall, args=(b"".join(calls),))
        writer.start()
        got = b""
        while got.count(b"\r\nx-request-id: ") < 100 or not got.endswith(b"}"):
            piece = client.recv(65536)
            assert piece, "the connection was closed early"
            got += piece
        writer.join()
    asked = [b"call-%d" % number for number in range(100)]
    assert re.findall(rb"\r\nx-request-id: ([^\r]+)", got) == asked
    assert re.findall(rb'"request_id":"([^"]+)"', got) == asked
