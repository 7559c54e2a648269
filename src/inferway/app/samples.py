"""Calls to paste: which ones this server can answer, and how they are written for a shell."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from inferway.settings import ProviderSettings

_PROMPTS = {
    "inputs": {"prompts": ["In one sentence: why is the sky blue?"]},
    "parameters": {"max_tokens": 80},
}
_TEXT = {"inputs": {"text": "Why is the sky blue?"}}
_MODELS = {"openai": "gpt-5.4-mini", "anthropic": "claude-haiku-4-5", "google": "gemini-3-flash-preview"}


class Sample(Struct, frozen=True, kw_only=True):
    """One call: what to say above it, and its body."""

    title: str
    provider: str
    model: str
    operation: str
    body: Mapping[str, Any]

    def curl(self, url: str, key: str, namespace: str) -> str:
        """The call as one line for a shell."""
        body = json.dumps(
            {"provider": self.provider, "model": self.model, **self.body}, separators=(",", ":")
        )
        headers = (
            f"Authorization: Bearer {key}",
            f"X-Namespace: {namespace}",
            "Content-Type: application/json",
        )
        parts = [f"{url}/v1/inference", *(word for header in headers for word in ("-H", header)), "-d", body]
        return "curl -sS " + " ".join(shlex.quote(part) for part in parts)


class Model(Protocol):
    """What is asked about a local model."""

    @property
    def id(self) -> str: ...

    @property
    def operation(self) -> str: ...

    @property
    def state(self) -> str: ...

    @property
    def quality(self) -> str: ...


class Desk(Protocol):
    """Where the local models are."""

    def list(self) -> tuple[Model, ...]: ...

    def missing_packages(self, name: str) -> tuple[str, ...]: ...


def local_samples(desk: Desk) -> tuple[Sample, ...]:
    """A chat with the best model whose files are here, else an embedding; nothing when neither can be answered."""
    able = [each for each in desk.list() if each.state == "pulled" and not desk.missing_packages(each.id)]
    if chats := [each for each in able if each.operation == "chat"]:
        chosen = chats[-1]
        about = f"a model on this machine, {chosen.id} (quality: {chosen.quality})"
        return (_sample(f"Ask {about}", "local", chosen.id, "chat", _PROMPTS),)
    if embeddings := [each for each in able if each.operation == "text_embedding"]:
        chosen = embeddings[0]
        return (_sample(f"Embed a text with {chosen.id}", "local", chosen.id, "text_embedding", _TEXT),)
    return ()


def coming_samples(desk: Desk, coming: Sequence[str]) -> tuple[Sample, ...]:
    """A call of the first of the models whose files are being fetched: it waits for them, or says when to send it again."""
    for chosen in desk.list():
        if chosen.id not in coming or desk.missing_packages(chosen.id):
            continue
        title = (
            f"Ask {chosen.id} on this machine; its files are still being fetched, and a call waits for them"
        )
        if chosen.operation == "chat":
            return (_sample(title, "local", chosen.id, "chat", _PROMPTS),)
    return ()


def provider_samples(providers: Mapping[str, ProviderSettings]) -> tuple[Sample, ...]:
    """A chat with each provider that has a key and whose models are known by name."""
    return tuple(
        _sample(f"Ask {name}", name, model, "chat", _PROMPTS)
        for name, model in _MODELS.items()
        if (chosen := providers.get(name)) is not None and chosen.enabled and chosen.api_key is not None
    )


def _sample(title: str, provider: str, model: str, operation: str, body: Mapping[str, Any]) -> Sample:
    return Sample(title=title, provider=provider, model=model, operation=operation, body=body)
