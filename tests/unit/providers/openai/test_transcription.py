"""Transcription: the form that leaves, and the answers in every format."""

import email.parser
import email.policy
import json
from typing import Any

import pytest

from inferway.errors import BadRequest, ProviderBadAnswer, ProviderFailed
from inferway.providers.base import Translated, WireRequest, WireResponse
from inferway.providers.openai.form import File, write_form
from inferway.providers.openai.quirks import Quirks
from inferway.providers.openai.transcription import OpenAITranscription
from inferway.providers.wire import UNREADABLE
from inferway.types import Media, MediaKind, Parameters, Segment, TranscriptionCall, TranscriptionResult, Word
from tests.unit.providers.openai.samples import response, target

TRANSLATOR = OpenAITranscription("openai", Quirks())


def listen(
    mime: str | None = "audio/wav", data: bytes = b"RIFF\r\n--x\x00\xff", **parameters: Any
) -> TranscriptionCall:
    return TranscriptionCall(
        audio=Media(kind=MediaKind.AUDIO, data=data, mime=mime), parameters=Parameters(**parameters)
    )


def translate(call: TranscriptionCall, model: str = "whisper-1") -> Translated:
    return TRANSLATOR.to_wire(call, target(model))


def parts(request: WireRequest) -> list[tuple[str, str | None, bytes]]:
    """Name, file name and content of each part, read by the standard library's mail parser."""
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers) + "\r\n"
    mail = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head.encode() + request.body)
    found = []
    for part in mail.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        assert isinstance(name, str)
        assert isinstance(content, bytes)
        found.append((name, part.get_filename(), content))
    return found


def fields(call: TranscriptionCall, model: str = "whisper-1") -> dict[str, str]:
    named = parts(translate(call, model).request)
    return {name: content.decode() for name, filename, content in named if filename is None}


def read(body: bytes, content_type: str = "application/json", **parameters: Any) -> TranscriptionResult:
    answer = WireResponse(status=200, headers={"content-type": content_type}, body=body)
    return TRANSLATOR.from_wire(listen(**parameters), target("whisper-1"), answer)


def test_the_form_has_the_model_and_a_file_with_an_extension() -> None:
    request = translate(listen()).request
    assert request.path == "/audio/transcriptions"
    assert parts(request) == [("model", None, b"whisper-1"), ("file", "audio.wav", b"RIFF\r\n--x\x00\xff")]
    assert request == translate(listen()).request


def test_common_parameters_and_extra_become_fields() -> None:
    call = listen(
        language="en",
        prompt='say "hi"\r\n',
        temperature=0.3,
        extra={
            "include": ["logprobs", "x"],
            "stream": True,
            "chunking_strategy": {"type": "server_vad"},
            "no": None,
        },
    )
    assert [(name, content.decode()) for name, _, content in parts(translate(call).request)[:-1]] == [
        ("model", "whisper-1"),
        ("temperature", "0.3"),
        ("language", "en"),
        ("prompt", 'say "hi"\r\n'),
        ("include[]", "logprobs"),
        ("include[]", "x"),
        ("stream", "true"),
        ("chunking_strategy[type]", "server_vad"),
    ]


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("timestamp_granularities", ["word", "segment"]),
        ("timestamp_granularities[]", ["word", "segment"]),
        ("timestamp_granularities[]", "segment"),
    ],
)
def test_a_list_may_have_the_name_that_the_form_gives_it(name: str, given: str | list[str]) -> None:
    request = translate(listen(response_format="words", extra={name: given})).request
    times = [(field, content.decode()) for field, _, content in parts(request) if field.startswith("times")]
    items = [given] if isinstance(given, str) else given
    assert times == [("timestamp_granularities[]", item) for item in items]


@pytest.mark.parametrize("name", ["model", "file"])
def test_extra_cannot_replace_the_model_or_the_file(name: str) -> None:
    with pytest.raises(BadRequest):
        translate(listen(extra={name: "x"}))


@pytest.mark.parametrize(
    ("model", "detail", "native", "action"),
    [
        ("whisper-1", "text", {"response_format": "json"}, None),
        ("whisper-1", "segments", {"response_format": "verbose_json", "timestamp_granularities[]": "segment"}, None),
        ("whisper-1", "words", {"response_format": "verbose_json", "timestamp_granularities[]": "word"}, None),
        ("gpt-4o-transcribe", "text", {"response_format": "json"}, None),
        ("gpt-4o-transcribe", "segments", {"response_format": "json"}, "clamped"),
        ("gpt-4o-mini-transcribe", "words", {"response_format": "json"}, "clamped"),
        (
            "gpt-4o-transcribe-diarize", "segments",
            {"response_format": "diarized_json", "chunking_strategy": "auto"}, None,
        ),
        (
            "gpt-4o-transcribe-diarize", "words",
            {"response_format": "diarized_json", "chunking_strategy": "auto"}, "clamped",
        ),
        ("unknown", "words", {"response_format": "verbose_json", "timestamp_granularities[]": "word"}, None),
    ],
)  # fmt: skip
def test_the_detail_asked_for_becomes_the_models_own_format(
    model: str, detail: str, native: dict[str, str], action: str | None
) -> None:
    call = listen(response_format=detail)
    assert fields(call, model) == {"model": model, **native}
    assert [told.action for told in translate(call, model).adaptations] == ([action] if action else [])


def test_a_detail_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(BadRequest, match="text, segments, words"):
        translate(listen(response_format="srt"))


def test_a_diarizing_model_takes_no_prompt() -> None:
    translated = translate(listen(prompt="x"), "gpt-4o-transcribe-diarize")
    assert [told.field for told in translated.adaptations] == ["parameters.prompt"]


@pytest.mark.parametrize("mime", ["audio/aac", "image/png", None, "text/html"])
def test_other_types_are_refused_with_those_that_are_taken(mime: str | None) -> None:
    with pytest.raises(BadRequest, match="flac, mp3"):
        translate(listen(mime))


@pytest.mark.parametrize(
    ("mime", "filename"),
    [("audio/mpeg", "audio.mp3"), ("audio/mp4", "audio.m4a"), ("audio/ogg; codecs=opus", "audio.ogg"), ("video/webm", "audio.webm")],
)  # fmt: skip
def test_the_file_name_follows_the_type(mime: str, filename: str) -> None:
    assert parts(translate(listen(mime)).request)[-1][1] == filename


def test_a_recording_above_the_limit_is_refused_with_the_limit() -> None:
    with pytest.raises(BadRequest, match="at most 25 MB") as caught:
        translate(listen(data=bytes(25 * 1024 * 1024 + 1)))
    assert caught.value.code == "media_too_large"
    assert len(translate(listen(data=bytes(25 * 1024 * 1024))).request.body) > 25 * 1024 * 1024


def test_audio_that_is_not_loaded_is_refused() -> None:
    for media in (
        Media(kind=MediaKind.AUDIO, url="https://x.example/a.wav", mime="audio/wav"),
        Media(kind=MediaKind.AUDIO, base64="YWJjZ", mime="audio/wav"),
    ):
        with pytest.raises(BadRequest):
            translate(TranscriptionCall(audio=media))


def test_no_name_or_value_can_break_out_of_its_part() -> None:
    file = File(field="file", filename='a".wav\r\nx: y', mime="audio/wav\r\nx: y", content=b"c")
    body, content_type = write_form([('n"\r\nx: y', "v\r\n--form")], file)
    boundary = content_type.partition("boundary=")[2].encode()
    assert body.count(boundary) == 3
    assert b"\r\nx: y" not in body


def test_a_verbose_answer_has_segments_words_and_its_length() -> None:
    body = {
        "task": "transcribe",
        "language": "english",
        "duration": 2.78,
        "text": "Look!",
        "segments": [{"id": 0, "start": 0.0, "end": 2.0, "text": " Look!"}],
        "words": [{"word": "Look", "start": 0.1, "end": 0.5}],
    }
    result = read(json.dumps(body).encode())
    transcript = result.transcript
    assert (transcript.text, transcript.language, transcript.duration_s) == ("Look!", "english", 2.78)
    assert transcript.segments == (Segment(start_s=0.0, end_s=2.0, text=" Look!"),)
    assert transcript.words == (Word(start_s=0.1, end_s=0.5, word="Look"),)
    assert (result.usage.audio_ms, result.usage.source) == (2780, "estimated")


def test_usage_in_seconds_and_in_tokens() -> None:
    timed = read(b'{"text":"x","usage":{"type":"duration","seconds":4}}').usage
    assert (timed.audio_ms, timed.source, timed.tokens_used()) == (4000, "provider", None)
    body = {"text": "x", "usage": {"type": "tokens", "total_tokens": 49, "input_tokens": 39,
            "input_token_details": {"text_tokens": 2, "audio_tokens": 37}, "output_tokens": 10}}  # fmt: skip
    counted = read(json.dumps(body).encode()).usage
    assert (counted.input, counted.audio_input, counted.output, counted.source) == (2, 37, 10, "provider")


def test_segments_say_who_speaks() -> None:
    body = {
        "text": "x",
        "segments": [{"type": "s", "text": "x", "speaker": "A", "start": 0, "end": 1, "id": "s"}],
    }
    assert read(json.dumps(body).encode()).transcript.segments == (
        Segment(start_s=0.0, end_s=1.0, text="x", speaker="A"),
    )


@pytest.mark.parametrize("native", ["text", "srt", "vtt"])
def test_plain_formats_are_the_text_as_it_is(native: str) -> None:
    extra = {"response_format": native}
    assert read(b"Look!\n", "text/plain; charset=utf-8", extra=extra).transcript.text == "Look!"
    assert read(b"\n", "text/plain", extra=extra).transcript.text == ""


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "text/plain"),
        (b"<html>", "text/plain"),
        (b"<!DOCTYPE html><p>", "text/plain"),
        (b"x", "text/html"),
        (b"\xff\xfe", "text/plain"),
    ],
)
def test_a_page_or_nothing_is_no_plain_transcript(body: bytes, content_type: str) -> None:
    with pytest.raises((ProviderBadAnswer, *UNREADABLE)):
        read(body, content_type, extra={"response_format": "text"})


@pytest.mark.parametrize(
    "body", [b"", b"plain words", b"<html>", b"{}", b'{"text":null}', b'{"text":5}', b"[]"]
)
def test_a_json_answer_without_a_text_is_refused(body: bytes) -> None:
    for content_type in ("application/json", "text/plain", "text/html"):
        with pytest.raises((ProviderBadAnswer, *UNREADABLE)):
            read(body, content_type)


def test_json_is_read_whatever_its_content_type_says() -> None:
    assert read(b'{"text":"x"}', "text/plain").transcript.text == "x"


STREAM = (
    b'data: {"type":"transcript.text.delta","delta":"Hi"}\r\n\r\n'
    b'data: {"type":"transcript.text.segment","text":" Hi","speaker":"A","start":0.0,"end":1.5,"id":"s"}\r\n\r\n'
    b'data: {"type":"transcript.text.done","text":"Hi","usage":{"type":"duration","seconds":2}}\r\n\r\n'
    b"data: [DONE]\r\n\r\n"
)


def test_a_streamed_transcription_is_read_to_its_end() -> None:
    result = read(STREAM, "text/event-stream; charset=utf-8", extra={"stream": True})
    assert result.transcript.text == "Hi"
    assert result.transcript.segments == (Segment(start_s=0.0, end_s=1.5, text=" Hi", speaker="A"),)
    assert result.usage.audio_ms == 2000


def test_a_cut_or_failed_stream_is_no_transcript() -> None:
    with pytest.raises(ProviderBadAnswer):
        read(STREAM.partition(b'data: {"type":"transcript.text.done"')[0], "text/event-stream")
    with pytest.raises(ProviderFailed):
        read(b'data: {"error":{"type":"server_error"}}\n\n', "text/event-stream")
    with pytest.raises(ProviderBadAnswer):
        read(b"data: {}\n\n" + STREAM, "text/event-stream")


def test_an_error_inside_a_200_is_that_error() -> None:
    with pytest.raises(ProviderFailed):
        TRANSLATOR.from_wire(listen(), target("whisper-1"), response({"error": {"type": "server_error"}}))
