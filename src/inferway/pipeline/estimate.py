"""Token counts where nobody counted: an estimate from the text, always marked as one."""

import msgspec
from msgspec.structs import astuple, replace

from inferway.types import METERS, Call, ChatCall, ChatResult, Completion, EmbeddingCall, Result, Usage

_BYTES_PER_TOKEN = 4
_MOST = 10**12
_SURELY_POSSIBLE = 2**39
"""More than any one call can use, in any meter; beyond it a provider's count is nonsense."""


def tokens_in(text: str) -> int:
    """About how many tokens a text has: one for four bytes of UTF-8, at least one when there is any text."""
    return _tokens(len(text.encode("utf-8", "replace")))


def _tokens(size: int) -> int:
    return (size + _BYTES_PER_TOKEN - 1) // _BYTES_PER_TOKEN


def prompt_tokens(call: Call) -> int:
    """About how many tokens of text a call sends; media count nothing."""
    if isinstance(call, ChatCall):
        return sum(tokens_in(message.text()) for message in call.messages)
    if isinstance(call, EmbeddingCall):
        return sum(tokens_in(item) for item in call.items if isinstance(item, str))
    return 0


def with_estimate(call: Call, result: Result) -> Result:
    """The result with estimated token counts if the provider reported none and tokens are what it is paid in."""
    if result.usage.source != "none" or not isinstance(result, ChatResult):
        return result
    estimated = Usage(
        input=prompt_tokens(call), output=_completion_tokens(result.completion), source="estimated"
    )
    return replace(
        result,
        usage=replace(estimated, raw=result.usage.raw),
        warnings=(*result.warnings, "the provider reported no usable token counts: tokens_used is estimated"),
    )


def _completion_tokens(completion: Completion) -> int:
    """About how many tokens a model wrote: its text, reasoning, refusal and calls of tools, and those of its alternatives."""
    said = [completion.text, completion.refusal or "", *(item.text or "" for item in completion.reasoning)]
    for call in completion.tool_calls:
        said += (call.name, msgspec.json.encode(call.arguments).decode())
    return tokens_in("".join(said)) + sum(map(_completion_tokens, completion.alternatives))


def broken_off(call: Call, said_bytes: int, told: Usage) -> Usage:
    """About what an answer used that broke off after so many bytes of text: the provider's own count of it all never came.

    What the provider has `told` by then counts, as far as it goes: most tell the tokens of the prompt at the beginning.
    """
    said = _tokens(said_bytes)
    if told.source == "none":
        return Usage(input=prompt_tokens(call), output=said, source="estimated")
    return replace(told, output=max(told.output, said - told.reasoning), source="estimated")


def plausible(usage: Usage) -> Usage:
    """The usage with impossible counts cut to what is possible, and then marked as an estimate."""
    # The bits of all counts together: none is negative, and none is larger than they are.
    bits = usage.input | usage.cached_read | usage.cache_write | usage.output | usage.reasoning
    bits |= usage.audio_input | usage.audio_ms | usage.images | usage.vectors | usage.characters
    if 0 <= bits < _SURELY_POSSIBLE:
        return usage
    counts = astuple(usage)[: len(METERS)]
    if min(counts) >= 0 and max(counts) <= _MOST:
        return usage
    bounded = {name: min(max(count, 0), _MOST) for name, count in zip(METERS, counts, strict=True)}
    return replace(usage, **bounded, source="estimated")
