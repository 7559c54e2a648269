"""Transcription by Gemini: what leaves, and what comes back."""

from typing import Any

import pytest

from inferway.errors import BadRequest, ProviderBadAnswer, ProviderRefused
from inferway.providers.google.transcription import MAX_INLINE_BYTES, GoogleTranscriptionTranslator
from inferway.types import Media, MediaKind, Parameters, Segment, TranscriptionCall, TranscriptionResult, Word
from tests.unit.providers.google.exchanges import OLD, answer, opened, response, target

TRANSLATOR = GoogleTranscriptionTranslator()
SPEECH = Media(kind=MediaKind.AUDIO, data=b"RIFF", mime="audio/wav")
OWN = "gemini-3.5-transcribe"
_AUDIO_PART = {"inlineData": {"mimeType": "audio/wav", "data": "UklGRg=="}}


def hear(**parameters: Any) -> TranscriptionCall:
    """A call."""
    return TranscriptionCall(audio=SPEECH, parameters=Parameters(**parameters))


def sent(call: TranscriptionCall, model: str = OLD) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The body, and what is told."""
    return opened(TRANSLATOR.to_wire(call, target(model)))


def read(body: object, model: str = OLD, **parameters: Any) -> TranscriptionResult:
    """What an answer means."""
    return TRANSLATOR.from_wire(hear(**parameters), target(model), response(body))


def test_an_instruction_stands_before_the_audio() -> None:
    body, told = sent(hear())
    (content,) = body["contents"]
    assert content["role"] == "user"
    assert content["parts"][0]["text"].startswith("Transcribe the provided audio")
    assert content["parts"][1] == _AUDIO_PART
    assert body["generationConfig"] == {"responseMimeType": "text/plain"}
    assert told == []
    request = TRANSLATOR.to_wire(hear(), target(OLD)).request
    assert request.path == "/v1beta/models/gemini-2.5-flash:generateContent"


def test_language_and_prompt_are_said_in_words_and_told() -> None:
    body, told = sent(hear(language="de", prompt="Zürich, Uri", temperature=0))
    text = body["contents"][0]["parts"][0]["text"]
    assert "de language" in text
    assert "Zürich, Uri" in text
    assert body["generationConfig"]["temperature"] == 0
    assert told == [("parameters.language", "translated"), ("parameters.prompt", "translated")]


def test_times_are_dropped_and_told_where_the_model_gives_none() -> None:
    body, told = sent(hear(response_format="words"))
    assert "audioTranscriptionConfig" not in body["generationConfig"]
    assert told == [("parameters.response_format", "dropped")]
    assert sent(hear(response_format="text"))[1] == []


def test_a_transcription_model_has_its_own_configuration() -> None:
    body, told = sent(hear(language="de-CH", prompt="Zürich, Uri ,", response_format="words"), OWN)
    assert body == {
        "contents": [{"role": "user", "parts": [_AUDIO_PART]}],
        "generationConfig": {
            "audioTranscriptionConfig": {
                "languageCodes": ["de-CH"],
                "customVocabulary": ["Zürich", "Uri"],
                "wordTimestamp": True,
            }
        },
    }
    assert told == [("parameters.prompt", "translated")]


def test_native_fields_are_merged() -> None:
    extra = {"generationConfig": {"audioTranscriptionConfig": {"diarization": True}}}
    body, _ = sent(hear(language="en", extra=extra), OWN)
    assert body["generationConfig"]["audioTranscriptionConfig"] == {
        "languageCodes": ["en"],
        "diarization": True,
    }
    with pytest.raises(BadRequest):
        sent(hear(extra={"contents": []}))


def test_audio_above_the_limit_is_refused_with_the_limit() -> None:
    audio = Media(kind=MediaKind.AUDIO, base64="A" * (MAX_INLINE_BYTES + 4), mime="audio/wav")
    with pytest.raises(BadRequest) as caught:
        TRANSLATOR.to_wire(TranscriptionCall(audio=audio), target(OLD))
    assert caught.value.code == "media_too_large"
    assert caught.value.details == {"limit": MAX_INLINE_BYTES, "actual": MAX_INLINE_BYTES + 4}


def test_the_text_is_the_transcript_and_audio_is_counted_apart() -> None:
    counts = {
        "promptTokenCount": 133,
        "candidatesTokenCount": 10,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 14},
            {"modality": "AUDIO", "tokenCount": 119},
        ],
    }
    result = read(answer({"text": " Good morning.\n"}, usageMetadata=counts))
    assert result.transcript.text == "Good morning."
    assert result.transcript.language is None
    assert (result.usage.input, result.usage.audio_input, result.usage.output) == (14, 119, 10)
    assert result.model == "gemini-3.8-flash-001"


def test_silence_is_an_empty_transcript() -> None:
    assert read(answer({"text": ""})).transcript.text == ""


def test_a_transcript_that_was_cut_says_so() -> None:
    assert "cut" in read(answer({"text": "Good"}, finish="MAX_TOKENS")).warnings[0]


@pytest.mark.parametrize(
    "body",
    [
        answer(finish="MAX_TOKENS"),
        answer({"functionCall": {"name": "f"}}),
        {"candidates": []},
        answer(finish="STOP"),
    ],
)
def test_no_transcript_is_a_bad_answer(body: object) -> None:
    with pytest.raises(ProviderBadAnswer):
        read(body)


@pytest.mark.parametrize(
    "body", [answer({"text": "So"}, finish="SAFETY"), {"promptFeedback": {"blockReason": "SAFETY"}}]
)
def test_a_transcript_that_was_withheld_is_an_error_that_says_so(body: object) -> None:
    with pytest.raises(ProviderRefused) as caught:
        read(body)
    assert caught.value.code == "content_filter"


def _stretch(text: str, start: str, end: str, **fields: Any) -> dict[str, Any]:
    return {"audioTranscription": {"text": text, "startOffset": start, "endOffset": end, **fields}}


def test_a_transcription_model_tells_segments_with_speakers() -> None:
    body = answer(
        _stretch("Good morning.", "0s", "1.25s", languageCode="en-GB", speakerLabel="spk_1"),
        _stretch("Hello.", "1.5s", "2s", languageCode="en-GB"),
    )
    transcript = read(body, OWN, response_format="segments").transcript
    assert transcript.text == "Good morning. Hello."
    assert transcript.language == "en-GB"
    assert transcript.segments == (
        Segment(start_s=0, end_s=1.25, text="Good morning.", speaker="spk_1"),
        Segment(start_s=1.5, end_s=2, text="Hello."),
    )
    assert transcript.words is None


def test_a_transcription_model_tells_words() -> None:
    words = [
        {"word": "Good", "startOffset": "0.100s", "endOffset": "0.4s"},
        {"word": "day", "startOffset": "soon", "endOffset": "0.6s"},
    ]
    body = answer({"audioTranscription": {"text": "Good day", "words": words}})
    transcript = read(body, OWN, response_format="words").transcript
    assert transcript.words == (Word(start_s=0.1, end_s=0.4, word="Good"),)
    assert read(body, OWN).transcript.words is None


def test_times_that_were_asked_for_and_did_not_come_are_told() -> None:
    result = read(answer({"audioTranscription": {"text": "Good day"}}), OWN, response_format="segments")
    assert result.transcript.segments is None
    assert result.warnings == ("google gave no segments",)
