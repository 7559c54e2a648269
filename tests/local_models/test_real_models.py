"""What the shipped local models really do, by the files whose hashes are printed."""

import asyncio
import glob
import math
import re
import tempfile
import threading
from pathlib import Path

import msgspec
import pytest

from inferway.errors import BadRequest
from inferway.providers.base import Context, Provider, Target
from inferway.types import (
    ChatCall,
    ChatResult,
    EmbeddingCall,
    EmbeddingResult,
    Media,
    MediaKind,
    Message,
    Parameters,
    TextDelta,
    TextPart,
    Transcript,
    TranscriptionCall,
    TranscriptionResult,
)
from tests.local_models.conftest import Models

SMOLLM = "smollm2-135m-instruct"
pytestmark = [pytest.mark.local_models, pytest.mark.timeout(600)]

# A sentence, the same said otherwise, and one that has nothing to do with them.
TRIPLES = (
    (
        "How do I reset my password?",
        "I forgot my password, how can I get a new one?",
        "The river floods every spring.",
    ),
    (
        "The cat sleeps on the sofa.",
        "A kitten is napping on the couch.",
        "Interest rates rose by half a point.",
    ),
    (
        "What time does the train leave?",
        "When is the departure of the train?",
        "She paints portraits in oil.",
    ),
    ("He bought a new car.", "He purchased a brand new automobile.", "The soup needs more salt."),
    ("It is raining heavily outside.", "There is a downpour out there.", "Our team won the chess final."),
    ("The company fired its director.", "The firm dismissed its manager.", "Whales sing under water."),
    ("I would like to cancel my order.", "Please stop the purchase I made.", "Mount Everest is very high."),
    (
        "The doctor prescribed antibiotics.",
        "The physician gave me medicine for the infection.",
        "The band plays jazz.",
    ),
    (
        "Where can I find a good restaurant?",
        "Can you recommend a nice place to eat?",
        "Compilers translate code.",
    ),
    ("The children play in the garden.", "Kids are playing in the yard.", "The contract ends in December."),
)


async def _embed(local: Provider, context: Context, *texts: str) -> EmbeddingResult:
    assert local.embedding is not None
    prepared = local.embedding.prepare(
        EmbeddingCall(items=texts), Target(provider="local", model="all-minilm-l6-v2")
    )
    return await local.embedding.execute(prepared, context)


async def _chat(
    local: Provider, context: Context, prompt: str, model: str = SMOLLM, **given: object
) -> ChatResult:
    assert local.chat is not None
    return await local.chat.execute(
        local.chat.prepare(_ask(prompt, **given), Target(provider="local", model=model)), context
    )


async def _transcribe(
    local: Provider, context: Context, audio: bytes, model: str = "whisper-tiny.en", **given: object
) -> TranscriptionResult:
    assert local.transcription is not None
    call = TranscriptionCall(audio=Media(kind=MediaKind.AUDIO, data=audio), parameters=_parameters(**given))
    prepared = local.transcription.prepare(call, Target(provider="local", model=model))
    return await local.transcription.execute(prepared, context)


def _ask(prompt: str, **given: object) -> ChatCall:
    message = Message(role="user", content=(TextPart(text=prompt),))
    return ChatCall(messages=(message,), parameters=_parameters(**given))


def _parameters(**given: object) -> Parameters:
    return msgspec.convert(given, Parameters)


def _cosine(one: object, other: object) -> float:
    a, b = msgspec.json.decode(msgspec.json.encode(one)), msgspec.json.decode(msgspec.json.encode(other))
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower().replace("-", " ").replace("mr.", "mister"))


def word_errors(said: list[str], heard: list[str]) -> int:
    """The least number of words put in, taken out or changed between two lists."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        above, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (word != other))
    return row[-1]


async def test_paraphrases_embed_closer_than_strangers_in_all_ten_pairs(
    local: Provider, models: Models, context: Context
) -> None:
    models.require("all-minilm-l6-v2")
    result = await _embed(local, context, *(text for triple in TRIPLES for text in triple))
    vectors = result.vectors
    assert len(vectors) == 30
    for number in range(10):
        said, again, stranger = vectors[3 * number : 3 * number + 3]
        assert _cosine(said, again) > _cosine(said, stranger) + 0.1, TRIPLES[number]
        assert math.isclose(_cosine(said, said), 1.0, abs_tol=1e-5)
    assert result.usage.source == "measured"
    assert result.usage.input > 100


async def test_a_text_embeds_the_same_alone_and_among_others(
    local: Provider, models: Models, context: Context
) -> None:
    models.require("all-minilm-l6-v2")
    texts = [f"{text} {'more words ' * (number % 5)}" for number, (text, _, _) in enumerate(TRIPLES)]
    together = await _embed(local, context, *texts)
    alone = await asyncio.gather(*(_embed(local, context, text) for text in texts))
    for one, other in zip(together.vectors, alone, strict=True):
        assert _cosine(one, other.vectors[0]) > 0.98


async def test_texts_above_the_models_length_are_cut_and_that_is_told(
    local: Provider, models: Models, context: Context
) -> None:
    models.require("all-minilm-l6-v2")
    assert (await _embed(local, context, "short")).warnings == ()
    result = await _embed(local, context, "word " * 400)
    assert "256 tokens" in result.warnings[0]
    assert result.usage.input == 256


async def test_human_speech_is_transcribed_with_at_most_a_fifth_of_the_words_wrong(
    local: Provider, models: Models, context: Context, speech: dict[str, tuple[bytes, str]]
) -> None:
    models.require("whisper-tiny.en")
    errors = said_words = 0
    for audio, said in speech.values():
        result = await _transcribe(local, context, audio)
        errors += word_errors(words_of(said), words_of(result.transcript.text))
        said_words += len(words_of(said))
        assert result.usage.audio_ms > 1000
    models.tell(f"word error rate {errors / said_words:.3f} over {said_words} words")
    assert errors / said_words <= 0.2


async def test_a_transcript_tells_language_duration_segments_and_words_when_asked(
    local: Provider, models: Models, context: Context, speech: dict[str, tuple[bytes, str]]
) -> None:
    models.require("whisper-tiny.en")
    audio, _ = next(iter(speech.values()))
    plain = (await _transcribe(local, context, audio)).transcript
    assert plain == Transcript(text=plain.text, language="en", duration_s=7.1)
    timed = (
        await _transcribe(local, context, audio, response_format="words", language="en", temperature=0)
    ).transcript
    assert timed.segments
    assert timed.words
    assert [word.word for word in timed.words] == timed.text.split()
    starts = [word.start_s for word in timed.words]
    assert starts == sorted(starts)
    assert timed.words[-1].end_s <= 7.2


async def test_what_is_no_audio_is_refused_and_the_engine_goes_on(
    local: Provider, models: Models, context: Context, speech: dict[str, tuple[bytes, str]]
) -> None:
    models.require("whisper-tiny.en")
    audio, _ = next(iter(speech.values()))
    for content in (b"this is no audio", b"", audio[:44]):
        with pytest.raises(BadRequest) as caught:
            await _transcribe(local, context, content)
        assert caught.value.code == "media_unreadable"
    assert (await _transcribe(local, context, audio)).transcript.text


async def test_two_prompts_get_different_answers_that_are_about_them(
    local: Provider, models: Models, context: Context
) -> None:
    models.require(SMOLLM)
    capital, fruits = await asyncio.gather(
        _chat(local, context, "What is the capital of France?", temperature=0, max_tokens=40),
        _chat(local, context, "Name three fruits.", temperature=0, max_tokens=40),
    )
    assert "Paris" in capital.completion.text
    assert re.search("apple|banana|orange|grape|strawberr", fruits.completion.text, re.IGNORECASE)
    assert capital.completion.text != fruits.completion.text
    assert capital.completion.finish_reason == "stop"
    assert capital.warnings[0].startswith("quality: minimal")
    assert capital.usage.source == "measured"
    assert capital.usage.input > 5 < capital.usage.output


async def test_a_streamed_answer_adds_up_to_the_whole_one(
    local: Provider, models: Models, context: Context
) -> None:
    models.require(SMOLLM)
    assert local.chat is not None
    prepared = local.chat.prepare(
        _ask("Name three fruits.", temperature=0, max_tokens=30), Target(provider="local", model=SMOLLM)
    )
    events = [event async for event in local.chat.stream(prepared, context)]
    *deltas, result = events
    assert isinstance(result, ChatResult)
    assert len(deltas) > 3
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == result.completion.text
    whole = await local.chat.execute(prepared, context)
    assert (whole.completion, whole.usage.output) == (result.completion, result.usage.output)


async def test_length_stop_and_seed_do_what_they_say(
    local: Provider, models: Models, context: Context
) -> None:
    models.require(SMOLLM)
    cut = await _chat(local, context, "Tell me a long story.", temperature=0, max_tokens=5)
    assert (cut.completion.finish_reason, cut.usage.output) == ("length", 5)
    counted = await _chat(
        local, context, "Count: one, two, three, four, five.", temperature=0, max_tokens=40, stop=["three"]
    )
    assert "three" not in counted.completion.text
    told = [
        await _chat(local, context, "Tell me a story.", temperature=1, seed=seed, max_tokens=16)
        for seed in (7, 7, 8)
    ]
    texts = [each.completion.text for each in told]
    assert texts[0] == texts[1] != texts[2]


async def test_a_schema_is_held_by_a_grammar(local: Provider, models: Models, context: Context) -> None:
    models.require(SMOLLM)
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    result = await _chat(
        local, context, "Invent a person with name and age.", schema=schema, temperature=0, max_tokens=60
    )
    person = msgspec.json.decode(result.completion.text)
    assert isinstance(person["age"], int)
    assert set(person) == {"name", "age"}
    assert result.completion.structured is not None
    assert result.completion.structured.method == "grammar"


async def test_what_the_model_cannot_take_is_the_callers_error_with_its_place(
    local: Provider, models: Models, context: Context
) -> None:
    models.require(SMOLLM)
    with pytest.raises(BadRequest, match="schema"):
        await _chat(local, context, "x", schema={"type": "wat"})
    with pytest.raises(BadRequest, match="tokens") as caught:
        await _chat(local, context, "word " * 5000)
    assert caught.value.code == "context_length_exceeded"


async def test_default_means_a_pulled_chat_model(local: Provider, models: Models, context: Context) -> None:
    models.require(SMOLLM)
    assert (await _chat(local, context, "Say hello.", model="default", max_tokens=5)).model


async def test_no_engine_opens_a_port_or_leaves_a_socket_that_anybody_can_find(
    local: Provider, models: Models, context: Context
) -> None:
    models.require(SMOLLM)
    # An engine that was killed elsewhere on this machine, as it loaded, leaves a file that no product can take away.
    before = set(_lying_about())
    await _chat(local, context, "Say hello.", max_tokens=2)
    children = _children()
    assert children
    assert not _listening_sockets() & {inode for pid in children for inode in _sockets(pid)}
    # One of another server's, of a test beside this one, is there while that loads.
    async with asyncio.timeout(20):
        while set(_lying_about()) - before:  # noqa: ASYNC110 - a file, which tells nobody
            await asyncio.sleep(0.1)


def _lying_about() -> list[str]:
    return glob.glob(f"{tempfile.gettempdir()}/inferway-*/listener.sock")  # noqa: PTH207 - a look, not a walk


def _children() -> list[str]:
    """The engines among this process's children; other tests may have servers running."""
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    return [
        pid
        for pid in children
        if b"inferway.providers.local.child" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def _sockets(pid: str) -> set[str]:
    links = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
    return {link.removeprefix("socket:[").rstrip("]") for link in links if link.startswith("socket:")}


def _listening_sockets() -> set[str]:
    """Inodes of all TCP sockets that listen on this machine."""
    rows = [
        row.split() for name in ("tcp", "tcp6") for row in Path(f"/proc/net/{name}").read_text().splitlines()
    ]
    return {row[9] for row in rows[1:] if row[3] == "0A"}
