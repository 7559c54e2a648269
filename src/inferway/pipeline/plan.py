"""From a request to what will be done: which targets in which order, and the calls to make."""

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from inferway.errors import BadRequest, NotFound
from inferway.pipeline.parameters import require_tools
from inferway.pipeline.ports import Registry
from inferway.pipeline.request import InferenceRequest
from inferway.providers.base import Capability, Credential, Provider, Target
from inferway.types import (
    NO_PARAMETERS,
    Call,
    ChatCall,
    EmbeddingCall,
    Media,
    MediaKind,
    MediaPart,
    Message,
    Operation,
    Result,
    TextPart,
    TranscriptionCall,
)

_KNOWN_ROUTES = 1_024
COMPLETING = (Operation.CHAT, Operation.VISION)
"""What is answered with completions."""
# Members of an enumeration are looked up by Python code, which is too much for every call.
_TRANSCRIPTION = Operation.TRANSCRIPTION


class Route(Struct, frozen=True, kw_only=True):
    """A provider that can serve the operation, and the target in its own terms."""

    provider: Provider
    capability: Capability[Any, Result]
    target: Target
    credential: Credential | None = None


class Plan(Struct, frozen=True, kw_only=True):
    """Where a request may go, in order, and what the caller must be told already."""

    operation: Operation
    routes: tuple[Route, ...]
    warnings: tuple[str, ...] = ()


class Routes:
    """Where calls may go, by provider, model and operation; what was asked for once is remembered, as the plan that has no other route."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[tuple[str, str, Operation], Plan] = {}

    def serving(self, operation: Operation) -> tuple[str, ...]:
        """Names of the providers that can serve an operation."""
        return self._registry.serving(operation)

    def get(self, name: str, model: str, operation: Operation) -> Route:
        """The route; raises `BadRequest` for an unknown provider or an operation that it lacks."""
        return self.only(name, model, operation).routes[0]

    def only(self, name: str, model: str, operation: Operation) -> Plan:
        """The plan of a call that may go nowhere else; raises as `get`."""
        key = (name, model, operation)
        plan = self._known.get(key)
        if plan is None:
            route = _make_route(name, model, operation, self._registry)
            if len(self._known) >= _KNOWN_ROUTES:
                self._known.clear()
            self._known[key] = plan = Plan(operation=operation, routes=(route,))
        return plan


def make_plan(request: InferenceRequest, routes: Routes, *, prompts_max: int, texts_max: int) -> Plan:
    """Resolve the targets of a request and refuse what cannot be executed.

    Raises `NotFound` for a plugin that is not there, `BadRequest` for an unknown provider, an operation that a target lacks, streaming of
    what cannot stream, or too many prompts or texts.
    """
    if request.provider is None:
        raise _no_plugin(request)
    inputs = request.inputs
    if len(inputs.prompts) > prompts_max:
        raise _too_many("prompts", len(inputs.prompts), prompts_max)
    if len(inputs.texts) > texts_max:
        raise _too_many("texts", len(inputs.texts), texts_max)
    if request.stream and inputs.operation not in COMPLETING:
        raise BadRequest(f"{inputs.operation} cannot be streamed", code="stream_unsupported")
    if request.parameters is not NO_PARAMETERS:
        if inputs.system is not None and request.parameters.system is not None:
            raise BadRequest("system is given in inputs and in parameters", code="conflicting_inputs")
        require_tools(request.parameters)
    plan = routes.only(request.provider, request.model or "", inputs.operation)
    if not request.fallbacks and not inputs.ignored and not request.enable_semantic_cache:
        return plan
    others = [routes.get(other.provider, other.model, inputs.operation) for other in request.fallbacks]
    return replace(plan, routes=(*plan.routes, *others), warnings=_warnings(request))


def _too_many(name: str, count: int, most: int) -> BadRequest:
    return BadRequest(f"at most {most} {name} in one call; there are {count}", code=f"too_many_{name}")


def _no_plugin(request: InferenceRequest) -> NotFound:
    if request.feature_uri is not None:
        name, resource = request.feature_uri, "feature_uri"
    else:
        name, resource = (request.inference_name or "").removeprefix("custom_plugin_"), "plugin"
    return NotFound(
        f"there is no {resource} of that name",
        code=f"{resource}_not_found",
        details={"resource": resource, "id": name[:200]},
    )


def _make_route(name: str, model: str, operation: Operation, registry: Registry) -> Route:
    provider = registry.get(name)
    capability = provider.capability(operation)
    if capability is None:
        able = registry.serving(operation)
        raise BadRequest(
            f"{provider.name} cannot serve {operation}; providers that can: {', '.join(able) or 'none configured'}",
            code="operation_unsupported",
            details={"provider": provider.name, "operation": operation.value, "providers": list(able)},
        )
    target = Target(
        provider=provider.name,
        model=model,
        facts=provider.facts(model),
        options=provider.options,
        pass_media_urls=provider.pass_media_urls,
    )
    return Route(provider=provider, capability=capability, target=target, credential=provider.credential)


def _warnings(request: InferenceRequest) -> tuple[str, ...]:
    said = [f"inputs.{name} was ignored: nothing reads it" for name in request.inputs.ignored]
    if request.enable_semantic_cache:
        said.append("the semantic cache is off on this server: the call was not looked up or kept")
    return tuple(said)


def media_of(request: InferenceRequest) -> tuple[Media, ...]:
    """All media of a request, each once."""
    if not request.inputs.media and not request.inputs.messages:
        return ()
    media = list(request.inputs.media)
    for message in request.inputs.messages:
        media.extend(part.media for part in message.content if isinstance(part, MediaPart))
    return tuple(dict.fromkeys(media))


def urls_passed_on(media: tuple[Media, ...], plan: Plan) -> frozenset[Media]:
    """The media that are handed over as URLs: images beside prompts, when every target fetches them itself."""
    if plan.operation is not Operation.VISION or not all(
        route.target.pass_media_urls for route in plan.routes
    ):
        return frozenset()
    return frozenset(item for item in media if item.url is not None and item.kind is MediaKind.IMAGE)


def make_calls(request: InferenceRequest, loaded: dict[Media, Media]) -> tuple[Call, ...]:
    """One chat call for each prompt (one for `messages`), one embedding call for all items, one transcription call."""
    inputs, parameters = request.inputs, request.parameters
    media = tuple([loaded.get(item, item) for item in inputs.media]) if inputs.media else ()
    if inputs.operation is _TRANSCRIPTION:
        return (TranscriptionCall(audio=media[0], parameters=parameters),)
    if inputs.operation not in COMPLETING:
        return (EmbeddingCall(items=inputs.texts or media, parameters=parameters),)
    system = _system(inputs.system if inputs.system is not None else parameters.system)
    if parameters.system is not None:
        parameters = replace(parameters, system=None)
    if inputs.messages:
        messages = system + tuple(_with_loaded(message, loaded) for message in inputs.messages)
        call = ChatCall(
            messages=messages, parameters=parameters, stream=request.stream, counted_from=len(system)
        )
        return (call,)
    return tuple(
        [
            ChatCall(messages=(*system, _user(prompt, media)), parameters=parameters, stream=request.stream)
            for prompt in inputs.prompts
        ]
    )


def _system(text: str | None) -> tuple[Message, ...]:
    return (Message(role="system", content=(TextPart(text=text),)),) if text else ()


def _user(prompt: str, media: tuple[Media, ...]) -> Message:
    if not media:
        return Message(role="user", content=(TextPart(text=prompt),))
    parts = tuple(MediaPart(media=item) for item in media)
    return Message(role="user", content=(TextPart(text=prompt), *parts))


def _with_loaded(message: Message, loaded: dict[Media, Media]) -> Message:
    if not loaded:
        return message
    parts = tuple(
        MediaPart(media=loaded.get(part.media, part.media)) if isinstance(part, MediaPart) else part
        for part in message.content
    )
    return replace(message, content=parts)


def with_stricter_facts(route: Route, parameter: str) -> Route:
    """The same route, knowing now that the model does not take one parameter."""
    target = replace(route.target, facts={**route.target.facts, parameter: False})
    return replace(route, target=target)
