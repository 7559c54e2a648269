"""Chat by GGUF models with llama.cpp, through its Python binding."""

import os
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xllamacpp

from inferway.providers.local.engine import ChatTask, Chatted, Limits
from inferway.providers.local.model import Job, Model, Refusal
from inferway.providers.local.wire import Load


class Llama:
    """Options: `slots` (conversations side by side); `max_tokens`, `system`, `sampling` (the library's fields) where a caller gives none.

    The library always starts an HTTP listener beside the direct calls used here. It gets a socket file in a folder that only this
    user may enter, which is removed at once, and a random key: no port is opened and nobody can connect.
    """

    def __init__(self, spec: Load) -> None:
        self._slots = int(spec.options.get("slots", 2))
        self._max_tokens = int(spec.options.get("max_tokens", 512))
        self._system = spec.options.get("system")
        self._sampling: dict[str, Any] = spec.options.get("sampling", {})
        with tempfile.TemporaryDirectory(prefix="inferway-", ignore_cleanup_errors=True) as private:
            self._server = xllamacpp.Server(self._parameters(spec, f"{private}/listener.sock"))
        self.limits = Limits(batch=1, concurrency=self._slots)

    def run(self, batch: Sequence[Job]) -> None:
        """One conversation at a time; the library runs those of several threads as one batch."""
        for job in batch:
            try:
                self._chat(job)
            except Refusal as refusal:
                job.fail(refusal.fault)

    def _parameters(self, spec: Load, listener: str) -> Any:
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(Path(spec.folder) / "model.gguf")
        parameters.n_ctx = (spec.context_length or 2048) * self._slots
        parameters.n_parallel = self._slots
        # Its threads meet at a barrier after every layer: with one a core, any other work on the machine stalls them all.
        parameters.cpuparams.n_threads = spec.threads or max(1, (os.cpu_count() or 1) // 2)
        # A polling thread would burn the cores that other processes need.
        parameters.cpuparams.poll = 0
        parameters.hostnames = [listener]
        parameters.api_keys = [secrets.token_hex(32)]
        parameters.ui = False
        parameters.endpoint_slots = False
        parameters.cache_ram_mib = 0
        # Logs would hold prompts.
        parameters.verbosity = -1
        return parameters

    def _chat(self, job: Job) -> None:
        task = job.task
        if not isinstance(task, ChatTask):
            raise Refusal("this model chats")
        answer = _Answer(job)
        try:
            self._server.handle_chat_completions(self._request(task), answer.take)
        except ValueError as error:
            raise Refusal(
                _schema_trouble(str(error)), code="invalid_schema" if task.schema else None
            ) from error
        answer.end()

    def _request(self, task: ChatTask) -> dict[str, Any]:
        turns = [{"role": turn.role, "content": turn.content} for turn in task.turns]
        if self._system and not any(turn.role == "system" for turn in task.turns):
            turns.insert(0, {"role": "system", "content": self._system})
        given = {"temperature": task.temperature, "top_p": task.top_p, "seed": task.seed}
        body: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        body |= {"messages": turns, "max_tokens": task.max_tokens or self._max_tokens}
        if task.stop:
            body["stop"] = list(task.stop)
        if task.schema is not None:
            named = {"name": "answer", "schema": task.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        if task.seed is not None:
            # Reused prompt state changes the order of sums, and with it the last bits that a seed should fix.
            body["cache_prompt"] = False
        return (
            self._sampling
            | (task.extra or {})
            | body
            | {"stream": True, "stream_options": {"include_usage": True}}
        )


class _Answer:
    """Collects the chunks of one streamed completion (OpenAI's chunk shape, which llama.cpp speaks)."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._text: list[str] = []
        self._finish: str | None = None
        self._usage: dict[str, int] = {}

    def take(self, chunk: dict[str, Any]) -> bool:
        """One chunk; True tells the library to stop."""
        if error := chunk.get("error"):
            self._refuse(error)
            return True
        for choice in chunk.get("choices", ()):
            if text := (choice.get("delta") or {}).get("content"):
                self._text.append(text)
                self._job.emit(text)
            self._finish = choice.get("finish_reason") or self._finish
        self._usage = chunk.get("usage") or self._usage
        return self._job.dropped

    def end(self) -> None:
        """Ends the job when the library has; one that was dropped or refused has ended otherwise."""
        if self._job.ended or self._job.dropped or self._finish is None:
            return
        self._job.finish(
            Chatted(
                text="".join(self._text),
                finish_reason="length" if self._finish == "length" else "stop",
                prompt_tokens=self._usage.get("prompt_tokens", 0),
                completion_tokens=self._usage.get("completion_tokens", 0),
            )
        )

    def _refuse(self, error: dict[str, Any]) -> None:
        if error.get("type") == "exceed_context_size_error":
            counts = f"{error.get('n_prompt_tokens')} tokens, this model reads {error.get('n_ctx')}"
            self._job.fail(Refusal(f"the conversation has {counts}", code="context_length_exceeded").fault)
        elif error.get("code") == 400:
            self._job.fail(Refusal(str(error.get("message", "refused"))).fault)


def _schema_trouble(message: str) -> str:
    """The part of the library's words that is about the schema."""
    _, found, reason = message.partition("JSON schema error at ")
    return (
        f"the schema cannot be made a grammar: at {reason}" if found else "the model cannot take this request"
    )


def load(spec: Load) -> Model:
    """Needs `model.gguf` in the folder."""
    return Llama(spec)
