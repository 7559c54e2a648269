"""What a body may cost: bounds that are judged before anything is made of it."""

import contextlib
import json
import time

import pytest

from inferway.errors import BadRequest, CallerError
from inferway.pipeline.body import MAX_DEPTH, MAX_VALUES
from inferway.pipeline.plain import MAX_NAME_BYTES
from inferway.pipeline.request import MAX_FALLBACKS, read_request

HEAD = b'{"provider":"openai","model":"m","inputs":{"prompts":["a"]},'
MIB = 1_000_000


def with_extra(value: bytes) -> bytes:
    return HEAD + b'"parameters":{"extra":{"x":' + value + b"}}}"


def with_prompt(text: bytes) -> bytes:
    return HEAD.replace(b'"a"', b'"' + text + b'"')[:-1] + b"}"


def repeated(item: bytes) -> bytes:
    return b"[" + (item + b",") * (MIB // (len(item) + 1)) + item + b"]"


COSTLY = {
    "open brackets": b"[" * MIB,
    "closed brackets": b"[" * (MIB // 2) + b"]" * (MIB // 2),
    "empty arrays": with_extra(repeated(b"[]")),
    "empty objects": with_extra(repeated(b"{}")),
    "nested arrays": with_extra(repeated(b"[" * 50 + b"]" * 50)),
    "numbers": with_extra(repeated(b"1")),
    "digits": with_extra(b"1" * MIB),
    "escaped quotes": with_prompt(b'\\"' * (MIB // 2)),
    "backslashes": with_prompt(b"\\\\" * (MIB // 2)),
    "quoted brackets": with_prompt(b'\\"[' * (MIB // 3)),
    "short strings": HEAD + b'"parameters":{"stop":' + repeated(b'"["') + b"}}",
    "prompts": HEAD.replace(b'["a"]', repeated(b'"a"'))[:-1] + b"}",
    "messages": HEAD.replace(b'"prompts":["a"]', b'"messages":' + repeated(b'{"role":"user","content":"a"}'))[
        :-1
    ]
    + b"}",
    "fallbacks": HEAD + b'"fallbacks":' + repeated(b'{"provider":"o","model":"m"}') + b"}",
    "images": HEAD.replace(b"[", b'["a"],"images_base64":' + repeated(b'"AAAA"') + b',"x":[')[:-1] + b"}",
    "a long key": HEAD + b'"' + b"k" * MIB + b'":1}',
    "unknown inputs": b'{"provider":"openai","model":"m","inputs":{'
    + b",".join(b'"promptings%06d":1' % at for at in range(MIB // 22))
    + b"}}",
    "unknown parameters": HEAD
    + b'"parameters":{'
    + b",".join(b'"k%06d":1' % at for at in range(MIB // 12))
    + b"}}",
    "a broken document": b'{"a":"' + b'","' * (MIB // 3),
}


@pytest.mark.parametrize("body", COSTLY.values(), ids=COSTLY.keys())
def test_a_megabyte_of_anything_is_judged_in_a_moment(body: bytes) -> None:
    spent = []
    for _ in range(3):
        started = time.process_time()
        with contextlib.suppress(CallerError):
            read_request(body)
        spent.append(time.process_time() - started)
    assert min(spent) < 0.1  # half of it on an idle machine


def test_a_body_holds_as_many_values_as_it_may_and_no_more() -> None:
    few = b",".join([b"1"] * (MAX_VALUES - 100))
    assert read_request(with_extra(b"[" + few + b"]")).parameters.extra
    many = b",".join([b"1"] * (MAX_VALUES + 100))
    with pytest.raises(BadRequest) as caught:
        read_request(with_extra(b"[" + many + b"]"))
    assert caught.value.code == "too_many_values"


def test_brackets_and_commas_inside_of_strings_are_text() -> None:
    text = '[{,"\\' * 20_000
    body = json.dumps({"provider": "openai", "model": "m", "inputs": {"prompts": [text]}}).encode()
    assert read_request(body).inputs.prompts == (text,)


def test_a_body_nests_as_deep_as_it_may_and_no_deeper() -> None:
    above = 3  # the body itself, parameters and extra
    deep = MAX_DEPTH - above
    assert read_request(with_extra(b"[" * deep + b"]" * deep)).parameters.extra
    with pytest.raises(BadRequest) as caught:
        read_request(with_extra(b"[" * (deep + 1) + b"]" * (deep + 1)))
    assert caught.value.code == "too_deep"
    wide = b"[" + b",".join([b"[[]]"] * 100) + b"]"
    assert read_request(with_extra(wide)).parameters.extra


def test_fallbacks_are_few() -> None:
    one = {"provider": "openai", "model": "m"}
    body = {**one, "inputs": {"prompts": ["a"]}, "fallbacks": [one] * (MAX_FALLBACKS + 1)}
    with pytest.raises(BadRequest) as caught:
        read_request(json.dumps(body).encode())
    assert caught.value.code == "too_many_fallbacks"


@pytest.mark.parametrize(("letter", "size"), [("m", 1), ("\U00020000", 4)])
@pytest.mark.parametrize("place", ["model", "fallbacks"])
def test_a_name_is_short_enough_to_be_kept_everywhere(place: str, letter: str, size: int) -> None:
    def named(length: int) -> bytes:
        long = {"provider": "openai", "model": letter * length}
        body = long if place == "model" else {"provider": "openai", "model": "m", "fallbacks": [long]}
        return json.dumps({**body, "inputs": {"prompts": ["a"]}}).encode()

    read_request(named(MAX_NAME_BYTES // size))
    with pytest.raises(BadRequest) as caught:
        read_request(named(MAX_NAME_BYTES // size + 1))
    assert caught.value.code == "unknown_model"
    assert letter * 3 not in caught.value.message
