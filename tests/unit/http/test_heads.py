"""Heads that were read before: taken again only when nothing in them can mean two things."""

import time

import pytest

from inferway.http.heads import Heads

START = b"POST /v1/inference HTTP/1.1\r\nHost: x\r\n"
HEAD = START + b"Authorization: Bearer sk_1\r\nContent-Length: 2\r\nX-Request-Id: mine\r\n\r\n"


def test_the_same_head_with_another_length_says_the_same_but_for_the_length() -> None:
    usual = Heads(b"/v1/inference").learn(HEAD + b"{}")
    assert usual is not None
    assert usual.headers[b"authorization"] == b"Bearer sk_1"
    assert usual.request_id == b"mine"
    longer = HEAD.replace(b": 2\r", b": 123456789\r")
    assert usual.find(longer + b"{}") == (b"123456789", len(longer))
    assert usual.find(HEAD) == (b"2", len(HEAD))


def test_heads_that_are_the_same_are_kept_once() -> None:
    heads = Heads(b"/v1/inference")
    assert heads.learn(HEAD) is heads.learn(HEAD.replace(b": 2\r", b": 77\r"))
    assert heads.learn(HEAD) is not heads.learn(HEAD.replace(b"mine", b"yours"))


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (b"Bearer sk_1", b"Bearer sk_2"),
        (b": 2\r", b": \r"),
        (b": 2\r", b": -2\r"),
        (b": 2\r", b": +2\r"),
        (b": 2\r", b": 2 \r"),
        (b": 2\r", b": 2, 2\r"),
        (b": 2\r", b": 0x2\r"),
        (b": 2\r", b": 1234567890\r"),
        (b": 2\r", b": \xb2\r"),
        (b": 2\r\n", b": 2\r\nContent-Length: 3\r\n"),
        (b": 2\r\n", b": 2\r\nTransfer-Encoding: chunked\r\n"),
        (b": 2\r\n", b": 2\r\n 3\r\n"),
        (b": 2\r\n", b": 2\n"),
        (b"POST", b"post"),
        (b"1.1", b"1.0"),
        (b"/v1/inference", b"/v1/inference?a=1"),
    ],
)
def test_a_head_that_differs_in_more_than_its_length_is_another(was: bytes, now: bytes) -> None:
    usual = Heads(b"/v1/inference").learn(HEAD)
    assert usual is not None
    assert usual.find(HEAD.replace(was, now) + b"{}") is None


@pytest.mark.parametrize(
    "head",
    [
        b"POST /v1/inference HTTP/1.1\r\nContent-Length: 2\r\n\r\n",
        START + b"\r\n",
        START + b"Content-Length: 2\r\n",
        START + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n",
        START + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        START + b"Content-Length: 2\r\nConnection: close\r\n\r\n",
        START + b"Content-Length: 2\r\nProxy-Connection: close\r\n\r\n",
        START + b"Content-Length: 2\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        START + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n",
        START + b"Content-Length: 2 \r\n\r\n",
        START + b"Content-Length: 2a\r\n\r\n",
        START + b"Content-Length : 2\r\n\r\n",
        START + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\n",
        START + b"X: a\r\nHost: y\r\nContent-Length: 2\r\n\r\n",
        START + b"X: \xe4\r\nContent-Length: 2\r\n\r\n",
        START + b"X: a\x00b\r\nContent-Length: 2\r\n\r\n",
        START.replace(b"POST", b"GET") + b"Content-Length: 2\r\n\r\n",
        START.replace(b"inference", b"health") + b"Content-Length: 2\r\n\r\n",
        START.replace(b"1.1", b"1.0") + b"Content-Length: 2\r\n\r\n",
        b"\r\n" + HEAD,
    ],
)
def test_what_is_out_of_the_ordinary_is_not_learnt(head: bytes) -> None:
    assert Heads(b"/v1/inference").learn(head + b"{}") is None


def test_a_client_that_says_that_it_stays_is_usual() -> None:
    head = START + b"Connection: Keep-Alive\r\nAccept: */*\r\nEmpty:\r\ncontent-length:2\r\n\r\n"
    usual = Heads(b"/v1/inference").learn(head)
    assert usual is not None
    assert usual.headers[b"empty"] == b""
    assert usual.request_id is None
    assert usual.find(head + b"{}") == (b"2", len(head))


def test_a_head_has_bounds() -> None:
    for bounds in ({"headers_max": 3}, {"bytes_max": len(HEAD) - 1}):
        assert Heads(b"/v1/inference", **bounds).learn(HEAD + b"{}") is None
    assert Heads(b"/v1/inference", headers_max=4, bytes_max=len(HEAD)).learn(HEAD + b"{}") is not None


def test_a_large_head_is_read_anew_each_time_for_it_would_stay_in_memory() -> None:
    heads = Heads(b"/v1/inference", bytes_max=32 * 1024)
    for size, is_kept in ((3_000, True), (5_000, False)):
        head = START + b"Cookie: %b\r\nContent-Length: 2\r\n\r\n" % (b"c" * size)
        assert (heads.learn(head + b"{}") is not None) is is_kept


@pytest.mark.parametrize(
    "lines", [b"X:\t \r\n" * 14, b"X:%b\r\n" % (b" " * 30_000), b"X: %b\r\n" % (b"a " * 15_000)]
)
def test_a_head_that_is_not_plain_in_its_last_byte_is_put_aside_soon(lines: bytes) -> None:
    began = time.process_time()
    assert (
        Heads(b"/v1/inference").learn(START + b"Content-Length: 2\r\n" + lines + b"Y: \x80\r\n\r\n") is None
    )
    assert time.process_time() - began < 0.2
