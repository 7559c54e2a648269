"""What the client sends, and when it sends it again."""

import io
from pathlib import Path

import pytest

from inferway.client.errors import (
    APIError,
    ConnectionFailed,
    InferenceError,
    InferwayError,
    QuotaExceededError,
    TooManyRequestsError,
    error_of,
)
from inferway.client.events import EventReader
from inferway.client.reaching import may_use_proxies
from inferway.client.requests import (
    Patience,
    chat_body,
    embedding_body,
    media,
    require_object,
    transcription_body,
)


def test_a_prompt_several_prompts_and_a_conversation_have_their_own_inputs() -> None:
    assert chat_body("Hi", provider="openai", model="m")["inputs"] == {"prompts": ["Hi"]}
    assert chat_body(["A", "B"], system="Be short.")["inputs"] == {
        "prompts": ["A", "B"],
        "system": "Be short.",
    }
    messages = [{"role": "user", "content": "Hi"}]
    assert chat_body(messages)["inputs"] == {"messages": messages}


def test_what_is_not_a_field_of_the_call_is_a_parameter() -> None:
    body = chat_body(
        "Hi", provider="openai", model="m", temperature=0, max_tokens=None, fallbacks=[], dry_run=True
    )
    assert body == {
        "provider": "openai",
        "model": "m",
        "fallbacks": [],
        "dry_run": True,
        "inputs": {"prompts": ["Hi"]},
        "parameters": {"temperature": 0},
    }


def test_texts_in_a_list_are_texts_and_one_is_a_text() -> None:
    assert embedding_body("a")["inputs"] == {"text": "a"}
    assert embedding_body(["a"])["inputs"] == {"texts": ["a"]}
    assert embedding_body(video=b"\x00")["inputs"] == {"video_base64": "AA=="}


def test_media_is_a_url_a_path_an_open_file_or_bytes(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(b"\x01")
    assert transcription_body("https://example.com/a.wav")["inputs"] == {
        "audio_url": "https://example.com/a.wav"
    }
    assert transcription_body(file)["inputs"] == {"audio_base64": "AQ=="}
    assert media("image", [io.BytesIO(b"\x01"), b"\x02"]) == {"images_base64": ["AQ==", "Ag=="]}
    assert media("image", ["https://a.example/1", "https://a.example/2", "data:image/png;base64,AA=="]) == {
        "image_urls": ["https://a.example/1", "https://a.example/2"],
        "image_base64": "data:image/png;base64,AA==",
    }


def test_text_that_names_a_file_is_not_read() -> None:
    with pytest.raises(ValueError, match=r"pathlib\.Path"):
        transcription_body("/etc/hostname")


def _refusal(status: int, retryable: object, retry_after_s: float | None = None) -> APIError:
    return error_of(status, {"error": {"message": "no", "details": {"retryable": retryable}}}, retry_after_s)


@pytest.mark.parametrize(
    ("error", "may_repeat", "is_repeated"),
    [
        (_refusal(503, True), False, True),
        (_refusal(429, True, 3.0), False, True),
        (_refusal(429, True, 31.0), False, False),
        (_refusal(429, False), True, False),
        (_refusal(500, None), True, False),
        (ConnectionFailed("x", sent=False), False, True),
        (ConnectionFailed("x", sent=True), False, False),
        (ConnectionFailed("x", sent=True), True, True),
    ],
)
def test_only_what_may_pass_and_cannot_be_done_twice_is_sent_again(
    error: InferwayError, *, may_repeat: bool, is_repeated: bool
) -> None:
    wait_s = Patience(retries=2).wait_s(error, 1, may_repeat=may_repeat)
    assert (wait_s is not None) is is_repeated
    assert Patience(retries=2).wait_s(error, 3, may_repeat=True) is None, "two retries are three tries"


def test_the_servers_hint_is_waited_for() -> None:
    wait_s = Patience().wait_s(_refusal(429, True, 7.0), 1, may_repeat=False)
    assert wait_s is not None
    assert wait_s >= 7


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (403, "QuotaExceededError", QuotaExceededError),
        (500, "InferenceError", InferenceError),
        (429, "TooManyRequestsError", TooManyRequestsError),
        (429, "SomethingNew", TooManyRequestsError),
        (418, None, APIError),
    ],
)
def test_an_envelope_becomes_the_error_of_its_type(
    status: int, kind: str | None, expected: type[APIError]
) -> None:
    content = b'{"success": false, "status": %d, "error": {"message": "m", "type": "%s", "code": "c"}}' % (
        status,
        (kind or "").encode(),
    )
    with pytest.raises(expected) as caught:
        require_object(status, content, {"retry-after": "2"})
    assert type(caught.value) is expected
    assert (caught.value.code, caught.value.retry_after_s, str(caught.value)) == ("c", 2.0, "m")


def test_an_answer_that_is_no_envelope_is_an_error_too() -> None:
    with pytest.raises(APIError, match="status 502"):
        require_object(502, b"<html>", {"retry-after": "soon"})


def test_a_stream_is_read_however_its_bytes_are_cut() -> None:
    data = (
        b': ping\n\nevent: delta\ndata: {"index":0,"text":"\xc3\xa4"}\n\n'
        b'event: done\ndata: {"data":{"completions":[{"text":"\xc3\xa4","finish_reason":"stop"}]},'
        b'"provider":"p","model":"m","latency_ms":1.0,"cached":false,"request_id":"r"}\n\n'
    )
    for size in (1, 2, 7, len(data)):
        reader = EventReader()
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        events = [event for piece in pieces for event in reader.feed(piece)]
        assert [(event.name, event.text) for event in events] == [("delta", "ä"), ("done", "")]
        assert reader.require_answer().text == "ä"


def test_a_stream_without_its_end_is_no_answer() -> None:
    reader = EventReader()
    assert list(reader.feed(b'event: delta\ndata: {"index":0,"text":"a"}\n\nevent: done\ndata: {')) != []
    with pytest.raises(ConnectionFailed):
        reader.require_answer()


def test_a_server_on_this_machine_is_never_called_through_a_proxy() -> None:
    assert not any(map(may_use_proxies, ("http://127.0.0.1:8080", "http://localhost:1", "http://[::1]:8080")))
    assert may_use_proxies("https://gateway.example.com")
