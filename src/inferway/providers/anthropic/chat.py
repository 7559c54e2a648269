"""Chat and vision by the messages API, both ways."""

from inferway.providers.anthropic.answer import read_answer, to_result
from inferway.providers.anthropic.decode import MessageStream
from inferway.providers.anthropic.errors import AnthropicErrors
from inferway.providers.anthropic.structured import Asked, find_asked
from inferway.providers.anthropic.to_wire import taken, to_wire
from inferway.providers.base import StreamDecoder, Target, Translated, WireResponse
from inferway.types import ChatCall, ChatResult


class MessagesTranslator:
    """Translates chat calls for the messages API. Source: Anthropic API reference, messages and streaming messages."""

    max_batch = 1

    def __init__(self, provider: str) -> None:
        self._errors = AnthropicErrors(provider)

    def to_wire(self, call: ChatCall, target: Target) -> Translated:
        """The request; raises `BadRequest` for what the API cannot take."""
        return to_wire(call, target)

    def from_wire(self, call: ChatCall, target: Target, response: WireResponse) -> ChatResult:
        """The result of a 2xx answer; raises `ProviderBadAnswer` or a msgspec error when it is none."""
        return to_result(read_answer(response.body), _asked(call, target))

    def decoder(self, call: ChatCall, target: Target) -> StreamDecoder:
        """A reader of this call's event stream."""
        return MessageStream(_asked(call, target), self._errors)


def _asked(call: ChatCall, target: Target) -> Asked | None:
    return find_asked(taken(call.parameters, target), target.facts)
