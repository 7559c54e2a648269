"""The judge of mutated answers finds what is made up, and lets pass what a body says."""

import msgspec
import pytest

from inferway.types import (
    ChatResult,
    Completion,
    EmbeddingResult,
    ToolCall,
    Transcript,
    TranscriptionResult,
    Usage,
)
from tests.recordings.inventions import inventions

_BODY = {
    "texts": ["The answer", " is 42.", "look", "call-1", '{"deep": "er"}', "Hm."],
    "finish_reason": "stop",
    "usage": {"prompt_tokens": 9, "cached": 2, "completion_tokens": 5},
}
_USAGE = Usage(input=7, cached_read=2, output=5, source="provider")


def _chat(completion: Completion, usage: Usage = _USAGE) -> ChatResult:
    return ChatResult(completion=completion, usage=usage)


def test_what_the_body_says_is_not_made_up() -> None:
    call = ToolCall(id="call-1", name="look", arguments={"deep": "er"})
    completion = Completion(text="The answer is 42.", finish_reason="tool_calls", tool_calls=(call,))
    assert inventions(_chat(completion), _BODY) == []


@pytest.mark.parametrize(
    "completion",
    [
        Completion(text="The answer is 43.", finish_reason="stop"),
        Completion(text=" is 42.The answer", finish_reason="stop"),
        Completion(text="", finish_reason="stop"),
        Completion(text="The answer", finish_reason="length"),
        Completion(text="The answer", finish_reason=None),
        Completion(
            text="",
            finish_reason="tool_calls",
            tool_calls=(ToolCall(id="call-2", name="look", arguments={}),),
        ),
        Completion(
            text="",
            finish_reason="tool_calls",
            tool_calls=(ToolCall(id="call-1", name="see", arguments={}),),
        ),
        Completion(
            text="",
            finish_reason="tool_calls",
            tool_calls=(ToolCall(id="call-1", name="look", arguments={"deep": "est"}),),
        ),
        Completion(text="", finish_reason="content_filter", refusal="No."),
    ],
)
def test_what_it_does_not_say_is(completion: Completion) -> None:
    assert len(inventions(_chat(completion), _BODY)) == 1


@pytest.mark.parametrize("usage", [Usage(input=-1, source="estimated"), Usage(input=700, source="provider")])
def test_counts_from_nowhere_are_made_up(usage: Usage) -> None:
    completion = Completion(text="The answer", finish_reason="stop")
    assert len(inventions(_chat(completion, usage), _BODY)) == 1


def test_vectors_and_transcripts_come_from_the_body() -> None:
    body = {"data": [{"embedding": [0.5, -1.0]}], "text": " Hello. ", "duration": 2.5}
    there, elsewhere = msgspec.Raw(b"[0.5,-1.0]"), msgspec.Raw(b"[0.5,-1.5]")
    assert inventions(EmbeddingResult(vectors=(there,)), body) == []
    assert len(inventions(EmbeddingResult(vectors=(elsewhere,)), body)) == 1
    heard = Transcript(text="Hello.", duration_s=2.5)
    assert inventions(TranscriptionResult(transcript=heard), body) == []
    invented = Transcript(text="Hello there.", duration_s=3.0)
    assert len(inventions(TranscriptionResult(transcript=invented), body)) == 2
