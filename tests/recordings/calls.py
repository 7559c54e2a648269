"""From a recorded request to the call that a user of the gateway makes for the same thing."""

from typing import Any

from msgspec import Struct

from tests.recordings.book import Recording


class Unsayable(Exception):
    """The contract has no form for something in the recorded request."""


class Call(Struct, frozen=True, kw_only=True):
    """A call without its address.

    `model_turns` are turns of a model, by their place in `inputs.messages`, whose form is the gateway's own (signatures of thoughts): the
    test has the server read them from an answer first, as a caller does who appends an answer to the conversation.
    """

    inputs: dict[str, Any]
    parameters: dict[str, Any] = {}
    stream: bool = False
    model_turns: dict[int, Any] = {}


class Taken:
    """A recorded object whose fields are taken one after the other, so that none is forgotten: the rest is native."""

    def __init__(self, fields: Any) -> None:
        if not isinstance(fields, dict):
            raise Unsayable(f"an object was expected, not {str(fields)[:40]}")
        self._fields = dict(fields)

    def take(self, *names: str) -> Any:
        """A field under the first of these names that is there, or None; all of them are gone afterwards."""
        found = [self._fields.pop(name) for name in names if name in self._fields]
        return found[0] if found else None

    def rest(self) -> dict[str, Any]:
        """What was not taken."""
        return dict(self._fields)

    def nothing_left(self, where: str) -> None:
        """Raises `Unsayable` when something was not taken."""
        if self._fields:
            raise Unsayable(f"{where}: {', '.join(self._fields)}")


class Parameters:
    """Collects parameters: common ones under their names, values outside of the common range and all others as native fields."""

    def __init__(self) -> None:
        self.common: dict[str, Any] = {}
        self.extra: dict[str, Any] = {}

    def add(self, name: str, value: Any) -> None:
        """A common parameter, if it was given."""
        if value is not None:
            self.common[name] = value

    def number(self, name: str, value: Any, most: float, native: tuple[str, ...]) -> None:
        """A common number; one that no model takes goes its native way, as a caller would have to send it."""
        if value is None:
            return
        if 0 <= value <= most:
            self.common[name] = value
        else:
            self.native(value, *native)

    def native(self, value: Any, *path: str) -> None:
        """A native field at a path."""
        if value is None:
            return
        at = self.extra
        for step in path[:-1]:
            at = at.setdefault(step, {})
        at[path[-1]] = value

    def all(self) -> dict[str, Any]:
        """The `parameters` of the call."""
        return {**self.common, "extra": self.extra} if self.extra else self.common


def chat_inputs(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """`prompts` where the conversation is one question, `messages` everywhere else."""
    system = [message for message in messages if message["role"] == "system"]
    others = [message for message in messages if message["role"] != "system"]
    is_question = len(others) == 1 and others[0]["role"] == "user" and messages[: len(system)] == system
    if not is_question or len(system) > 1:
        return {"messages": messages}
    content = others[0]["content"]
    inputs: dict[str, Any] = {}
    if isinstance(content, list):
        texts = [part["text"] for part in content if part["type"] == "text"]
        media = [part for part in content if part["type"] != "text"]
        # Media beside prompts stand behind them, and one of a kind is named by its own key.
        if len(texts) != 1 or len(media) > 1 or content[0]["type"] != "text" or not texts[0]:
            return {"messages": messages}
        for part in media:
            inputs |= {key: value for key, value in part.items() if key != "type"}
        content = texts[0]
    if any(not isinstance(message["content"], str) for message in system):
        return {"messages": messages}
    return {"prompts": [content]} | ({"system": system[0]["content"]} if system else {}) | inputs


def plain_call(recording: Recording) -> Call:
    """A call of the same operation, for recordings whose request has no form here: only what comes back matters."""
    method, body = recording.method, recording.request.body
    stream = method == "streamGenerateContent" or (isinstance(body, dict) and body.get("stream") is True)
    if method in ("embeddings", "batchEmbedContents", "embedContent", "predict"):
        count = len(body.get("requests") or body.get("instances") or [0])
        inputs = (
            {"text": "a text"} if count == 1 else {"texts": [f"text {number}" for number in range(count)]}
        )
        dimensions = next(
            (
                each["outputDimensionality"]
                for each in body.get("requests", [])
                if "outputDimensionality" in each
            ),
            None,
        )
        return Call(inputs=inputs, parameters={"dimensions": dimensions} if dimensions else {})
    asked = body.get("temperature") if isinstance(body, dict) else None
    parameters = {} if asked is None else {"temperature": asked}
    return Call(inputs={"prompts": ["Say something."]}, parameters=parameters, stream=stream)


def data_url(mime: str, content: str) -> str:
    """A data URL."""
    return f"data:{mime};base64,{content}"
