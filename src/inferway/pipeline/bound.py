"""The most that a call can use and cost, known before it is made; nothing here guesses low."""

import math
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from inferway.errors import Forbidden
from inferway.media.probe import find_duration_ms
from inferway.pipeline.journey import Journey
from inferway.pipeline.plan import Route
from inferway.pipeline.ports import Pricer, Ticket
from inferway.types import (
    Adaptation,
    Call,
    ChatCall,
    EmbeddingCall,
    Media,
    MediaKind,
    MediaPart,
    Message,
    TextPart,
    TranscriptionCall,
    Usage,
)

ANSWER_TOKENS = 8_192
"""What an answer may have when nobody says how long it may be: neither the call, nor a setting, nor what is known of the model."""

_CALL_TOKENS, _MESSAGE_TOKENS, _MACHINERY_TOKENS = 64, 16, 1_024
"""What templates add: to a call, to each message, and for tools or a schema, which providers explain to the model in their own words."""
_IMAGE_TOKENS = 50_000
"""OpenAI's dearest picture has 48,169 (gpt-4o-mini, eight tiles); a model's fact `image_tokens_max` says less."""
_DOCUMENT_TOKENS = 1_000_000
"""As much as any model here reads: a document's pages cannot be counted without reading it."""
_SOUND_TOKENS_PER_S, _SPEECH_TOKENS_PER_S = 100, 25
"""Providers count 10 to 32 tokens for a second of sound; speech of one second is at most some ten tokens."""
_MS_PER_BYTE = 2
"""Speech is not coded below 4,000 bits a second; where a header tells a longer time, that counts."""
_ANSWER_NAMES = frozenset(
    ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "maxOutputTokens")
)
_COUNT_NAMES = frozenset(("n", "best_of", "candidateCount", "candidate_count"))
_BEYOND = 10**15
"""More tokens, and more micro-dollars, than any limit has; sums of it fit into the 64 bits in which they are kept."""


class Most(Struct, frozen=True, kw_only=True):
    """What a request can use at most: tokens in and out, and micro-dollars."""

    tokens: int
    microusd: int


class Reserver:
    """Reserves for calls. `answer_tokens` is what a call without `max_tokens` may answer; None: the model's own maximum."""

    def __init__(self, pricer: Pricer, answer_tokens: int | None) -> None:
        self._pricer, self._answer_tokens = pricer, answer_tokens

    async def reserve(
        self,
        ticket: Ticket,
        calls: tuple[Call, ...],
        routes: tuple[Route, ...],
        journey: Journey,
        record_id: str,
    ) -> tuple[Call, ...]:
        """Reserves the most that the calls can use on any route, and returns them with what must be sent so that they cannot use more.

        Raises what the ticket raises, and `Forbidden` (code `unpriced_model`) when money is counted and a model has no known price.
        """
        cap = _cap_of(calls, routes, self._answer_tokens)
        if cap is not None:
            calls = tuple(_capped(call, cap) for call in calls)
            journey.adaptations[_told(cap)] = None
        pricer = self._pricer if ticket.counts_money else None
        most = [most_of(calls, route, pricer) for route in routes]
        tokens = min(max(each.tokens for each in most), _BEYOND)
        microusd = min(max(each.microusd for each in most), _BEYOND)
        await ticket.reserve(tokens=tokens, microusd=microusd, record_id=record_id)
        return calls


def most_of(calls: Iterable[Call], route: Route, pricer: Pricer | None) -> Most:
    """The most that calls can use on one route. Raises `Forbidden` when there is no price for it."""
    tokens = microusd = 0
    for call in calls:
        likely = _ways(call, route)
        tokens += max(_tokens_of(usage) for usage in likely)
        if pricer is not None:
            microusd += _price(likely, route, pricer)
    return Most(tokens=tokens, microusd=microusd)


def text_bound(text: str) -> int:
    """Tokens of a text at most: one for each byte.

    Tokenizers of bytes and of characters make at least a byte into a token. Those that rewrite a text first (NFKC) can make it longer,
    so the longer of the two counts.
    """
    if text.isascii():
        return len(text)
    rewritten = unicodedata.normalize("NFKC", text)
    return max(len(text.encode("utf-8", "replace")), len(rewritten.encode("utf-8", "replace")))


def _cap_of(calls: Sequence[Call], routes: Sequence[Route], answer_tokens: int | None) -> int | None:
    """What must be sent as `max_tokens`; None when the caller said it, or the models' own maximum is bound enough."""
    if not any(isinstance(call, ChatCall) and call.parameters.max_tokens is None for call in calls):
        return None
    known = [_unasked(route) for route in routes]
    whole = [most for most in known if most is not None]
    if answer_tokens is None:
        return None if len(whole) == len(known) else min([ANSWER_TOKENS, *whole])
    if len(whole) == len(known) and max(whole) <= answer_tokens:
        return None
    return min([answer_tokens, *whole])


def _unasked(route: Route) -> int | None:
    """The longest answer of a model that is not told how long it may be."""
    facts = route.target.facts
    found: int | None = facts.get("max_tokens_unasked", facts.get("max_tokens_max"))
    return found


def _told(cap: int) -> Adaptation:
    reason = f"none was given, and tokens or money are limited: {cap} was sent, and a longer answer ends with `length`"
    return Adaptation(field="parameters.max_tokens", action="translated", reason=reason)


def _capped(call: Call, cap: int) -> Call:
    if not isinstance(call, ChatCall) or call.parameters.max_tokens is not None:
        return call
    return replace(call, parameters=replace(call.parameters, max_tokens=cap))


def _ways(call: Call, route: Route) -> list[Usage]:
    """What a call can use, by each way of counting that its provider may choose: the dearest is what counts."""
    if isinstance(call, TranscriptionCall):
        return _of_transcription(call)
    if isinstance(call, EmbeddingCall):
        return _of_embedding(call, route)
    prompt, images, has_sound = _prompt(call, route)
    answer = _answer(call, route)
    if call.parameters.schema is not None and call.parameters.repair:
        # An answer that does not fit is sent back once, with what is wrong with it.
        prompt, answer, images = 2 * prompt + answer + _MACHINERY_TOKENS, 2 * answer, 2 * images
    ways = [_counted(input=prompt, output=answer, images=images)]
    ways.append(_counted(cache_write=prompt, output=answer, images=images))
    if call.parameters.extra:
        raw = msgspec.json.encode({"cache_creation": {"ephemeral_1h_input_tokens": prompt}})
        ways.append(_counted(cache_write=prompt, output=answer, images=images, raw=raw))
    if has_sound:
        ways.append(_counted(audio_input=prompt, output=answer, images=images))
    return ways


def _prompt(call: ChatCall, route: Route) -> tuple[int, int, bool]:
    """Tokens of the prompt, pictures in it, and whether it holds sound."""
    parameters = call.parameters
    tokens = _CALL_TOKENS + sum(map(_message_bound, call.messages))
    if parameters.tools or parameters.schema is not None:
        # A schema is said again in the provider's own dialect, which may say more.
        tokens += _MACHINERY_TOKENS + 2 * _json_bound(parameters.tools) + 2 * _json_bound(parameters.schema)
    tokens += _json_bound(parameters.extra) if parameters.extra else 0
    media = [part.media for each in call.messages for part in each.content if isinstance(part, MediaPart)]
    tokens += sum(_media_bound(item, route) for item in media)
    images = sum(item.kind is MediaKind.IMAGE for item in media)
    return tokens, images, any(item.kind in (MediaKind.AUDIO, MediaKind.VIDEO) for item in media)


def _message_bound(message: Message) -> int:
    texts = [part.text for part in message.content if isinstance(part, TextPart)]
    for thought in message.reasoning:
        texts += [thought.text or "", thought.signature or ""]
    tokens = _MESSAGE_TOKENS + sum(map(text_bound, texts)) + len(message.content)
    return tokens + sum(_MESSAGE_TOKENS + _json_bound(each) for each in message.tool_calls)


def _media_bound(media: Media, route: Route) -> int:
    if media.kind is MediaKind.DOCUMENT:
        return _DOCUMENT_TOKENS
    if media.kind is MediaKind.IMAGE:
        most: int = route.target.facts.get("image_tokens_max", _IMAGE_TOKENS)
        return most
    return _SOUND_TOKENS_PER_S * (_duration_ms(media) // 1000 + 1)


def _duration_ms(media: Media) -> int:
    if media.url is not None and media.data is None and media.base64 is None:
        return 24 * 3_600_000
    content = media.as_bytes()
    told = find_duration_ms(content, media.mime or "") or 0
    return max(told, len(content) * _MS_PER_BYTE)


def _answer(call: ChatCall, route: Route) -> int:
    """Tokens of all answers to a call."""
    parameters = call.parameters
    known = route.target.facts.get("max_tokens_max")
    own = _unasked(route) or ANSWER_TOKENS
    asked = parameters.max_tokens or own
    most = asked if known is None else min(asked, known)
    counts = [1]
    for name, number in _numbers(parameters.extra):
        if number is None:
            # A null may take back the `max_tokens` that is sent.
            most = max(most, own)
        elif name in _ANSWER_NAMES:
            most = max(most, number)
        else:
            counts.append(number)
    return min(most * max(counts), _BEYOND)


def _numbers(extra: Any, depth: int = 3) -> Iterable[tuple[str, int | None]]:
    """The counts and the nulls in a caller's native fields, by name: they reach the provider as they are."""
    if not isinstance(extra, dict) or not depth:
        return
    for name, value in extra.items():
        if value is None:
            yield name, None
        elif name in _ANSWER_NAMES or name in _COUNT_NAMES:
            yield name, _count_of(value)
        else:
            yield from _numbers(value, depth - 1)


def _count_of(value: Any) -> int:
    """A count as a provider may read it: some take 8.0 and "8" for 8. What none takes is 0."""
    try:
        return math.ceil(min(float(value), _BEYOND))
    except OverflowError:
        return _BEYOND
    except (TypeError, ValueError):
        return 0


def _of_embedding(call: EmbeddingCall, route: Route) -> list[Usage]:
    texts = [item for item in call.items if isinstance(item, str)]
    media = [item for item in call.items if isinstance(item, Media)]
    tokens = sum(text_bound(text) + _MESSAGE_TOKENS for text in texts)
    tokens += sum(_media_bound(item, route) for item in media)
    images = sum(item.kind is MediaKind.IMAGE for item in media)
    characters = sum(map(len, texts))
    return [
        _counted(input=tokens + _CALL_TOKENS, characters=characters, images=images),
        _counted(characters=characters, images=images),
    ]


def _of_transcription(call: TranscriptionCall) -> list[Usage]:
    duration_ms = _duration_ms(call.audio)
    seconds = duration_ms // 1000 + 1
    prompt = _CALL_TOKENS + text_bound(call.parameters.prompt or "")
    said = _CALL_TOKENS + seconds * _SPEECH_TOKENS_PER_S
    return [
        _counted(audio_ms=duration_ms),
        _counted(input=prompt, audio_input=seconds * _SOUND_TOKENS_PER_S, output=said),
    ]


def _price(ways: Iterable[Usage], route: Route, pricer: Pricer) -> int:
    target = route.target
    priced = [pricer.price(target.provider, target.model, usage) for usage in ways]
    known = [price.microusd for price in priced if price is not None]
    if not known:
        raise Forbidden(
            f"{target.provider} {target.model} has no known price, and this call counts against a spend cap; "
            f'the operator can set one under [prices."{target.provider}/{target.model}"]',
            code="unpriced_model",
            details={"provider": target.provider, "model": target.model},
        )
    return max(known)


def _counted(**meters: Any) -> Usage:
    return Usage(**meters, source="estimated")


def _tokens_of(usage: Usage) -> int:
    return usage.input + usage.cache_write + usage.audio_input + usage.output


def _json_bound(value: object) -> int:
    return 0 if value is None else text_bound(msgspec.json.encode(value).decode("utf-8", "replace"))
