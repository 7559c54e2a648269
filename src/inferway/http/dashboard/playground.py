"""The playground: any call of the API, put together in a form, sent as who is signed in, and copied as code."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from inferway.http.dashboard.api import Api
from inferway.http.dashboard.frame import page_headers
from inferway.http.dashboard.view import View, Visitor
from inferway.http.front import INFERENCE_PATH
from inferway.http.wire import Message

_MODELS = "/v1/inference/models"
_PASSED = (b"content-type", b"content-length", b"x-namespace")
_NAMESPACES_MAX = 200
_OPERATIONS = ("chat", "vision", "structured", "embedding", "transcription")
_PERMITTED = frozenset({"write", "delete", "admin"})


class Field(msgspec.Struct, frozen=True):
    """A parameter in the form: its name in the API, its label, how it is typed in, and the operations that have it."""

    name: str
    label: str
    kind: str
    operations: str
    step: str = ""
    choices: tuple[str, ...] = ()
    is_rare: bool = False


_SPOKEN = "chat vision structured"
_ALL = _SPOKEN + " embedding transcription"
FIELDS = (
    Field("temperature", "Temperature", "number", _SPOKEN + " transcription", "any"),
    Field("max_tokens", "Max tokens", "number", _SPOKEN, "1"),
    Field("top_p", "Top p", "number", _SPOKEN, "any"),
    Field("seed", "Seed", "number", _SPOKEN, "1"),
    Field(
        "reasoning_effort",
        "Reasoning effort",
        "choice",
        _SPOKEN,
        choices=("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    ),
    Field("dimensions", "Dimensions", "number", "embedding", "1"),
    Field("task_type", "Task type", "text", "embedding"),
    Field("response_format", "Detail", "choice", "transcription", choices=("text", "segments", "words")),
    Field("language", "Language", "text", "transcription"),
    Field("prompt", "Words that it may hold", "text", "transcription"),
    Field("timeout_s", "Timeout in seconds", "number", _ALL, "any", is_rare=True),
    Field(
        "tool_choice", "Tool choice", "choice", "chat vision", "", ("auto", "none", "required"), is_rare=True
    ),
    Field("stop", "Stop, one a line", "lines", _SPOKEN, is_rare=True),
    Field("tools", "Tools, as JSON", "json", "chat vision", is_rare=True),
    Field("extra", "Extra for the provider, as JSON", "json", _ALL, is_rare=True),
)


class Playground:
    """The page, what it asks about models, and the way of its calls."""

    def views(self) -> tuple[View, ...]:
        """The pages and forms."""
        return (
            View(method="GET", path="/playground", handler=self.show),
            View(method="GET", path="/playground/models/{provider}", handler=self.describe),
            View(method="POST", path="/playground/call", handler=self.call),
        )

    async def show(self, visitor: Visitor) -> Response:
        """The form."""
        namespaces = await visitor.api.get("/v1/namespaces", query={"limit": _NAMESPACES_MAX})
        models = await visitor.api.get(_MODELS)
        held = (await visitor.me())["key"]["permissions"]
        asked = visitor.query("operation")
        return await visitor.show(
            "playground.html",
            namespaces=sorted(each["namespace_name"] for each in namespaces["results"]),
            models=msgspec.json.encode([_offered(each) for each in models["results"]]).decode(),
            may_infer=not _PERMITTED.isdisjoint(held),
            fields=FIELDS,
            operation=asked if asked in _OPERATIONS else _OPERATIONS[0],
        )

    async def describe(self, visitor: Visitor) -> Response:
        """What one model takes, as the API tells it."""
        query = {
            "provider": visitor.place("provider"),
            "model": visitor.query("model"),
            "operation": visitor.query("operation"),
        }
        reply = await visitor.api.ask("GET", _MODELS, query)
        return Response(reply.body, reply.status, page_headers(), media_type="application/json")

    async def call(self, visitor: Visitor) -> Response:
        """A call of `POST /v1/inference`, answered piece by piece."""
        return _Passed(visitor.inference, visitor.request)


class _Passed(Response):
    """An answer of the inference endpoint: the body is read and written there, and held by nobody between."""

    def __init__(self, inference: Api, request: Request) -> None:
        super().__init__()
        self._inference, self._request = inference, request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the request on and the answer back."""
        given = dict(scope["headers"])
        headers = {name: given[name] for name in _PASSED if name in given}

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [
                    (name.encode("ascii"), value.encode("ascii")) for name, value in page_headers().items()
                ]
                kept = [each for each in message["headers"] if each[0] != b"cache-control"]
                message = {**message, "headers": [*kept, *extra]}
            await send(message)

        await self._inference.forward(INFERENCE_PATH, headers, receive, guarded)


def _offered(provider: dict[str, Any]) -> dict[str, Any]:
    """What the form needs of a provider."""
    return {
        "provider": provider["provider"],
        "configured": provider["configured"],
        "operations": provider["operations"],
        "models": [{"model": each["model"], "operations": each["operations"]} for each in provider["models"]],
    }
