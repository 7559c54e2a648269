"""Sentence embeddings by a MiniLM-like ONNX encoder: mean over the tokens, then unit length."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from inferway.providers.local.engine import Embedded, EmbedTask, Limits
from inferway.providers.local.model import Job, Model, Refusal
from inferway.providers.local.wire import Load

_STEP = 16
"""Texts in one run of the network: larger steps are no faster on a CPU and pad more."""


class MiniLm:
    """Tokenizes, runs texts of similar length together, and gives vectors back in the order they came."""

    def __init__(self, spec: Load) -> None:
        folder = Path(spec.folder)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._length = spec.context_length or 256
        options = onnxruntime.SessionOptions()
        # The arena would keep the memory of the largest batch for ever.
        options.enable_cpu_mem_arena = False
        options.intra_op_num_threads = spec.threads or os.cpu_count() or 1
        options.inter_op_num_threads = 1
        # Waiting threads must not spin: other processes need the cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._inputs = {each.name for each in self._session.get_inputs()}
        self.limits = Limits(batch=64, concurrency=1)

    def run(self, batch: Sequence[Job]) -> None:
        """All texts of all jobs together; each job ends as soon as its last text is done."""
        waiting: list[_Waiting] = [_Waiting(job, self._tokenizer, self._length) for job in batch]
        places = [(entry, index) for entry in waiting for index in range(len(entry.ids))]
        places.sort(key=lambda place: len(place[0].ids[place[1]]))
        for begin in range(0, len(places), _STEP):
            step = [place for place in places[begin : begin + _STEP] if not place[0].job.dropped]
            if not step:
                continue
            vectors = self._embed([entry.ids[index] for entry, index in step])
            for (entry, index), vector in zip(step, vectors, strict=True):
                entry.put(index, vector)

    def _embed(self, rows: list[list[int]]) -> Iterator[bytes]:
        width = max(map(len, rows))
        ids = np.zeros((len(rows), width), dtype=np.int64)
        mask = np.zeros((len(rows), width), dtype=np.int64)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden: Any = self._session.run(None, {name: feed[name] for name in feed if name in self._inputs})[0]
        weights = mask[:, :, None].astype(np.float32)
        pooled = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        unit = pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)
        for vector in unit:
            yield _as_json(vector.tolist())


class _Waiting:
    """A job whose vectors are coming in."""

    def __init__(self, job: Job, tokenizer: Tokenizer, length: int) -> None:
        if not isinstance(job.task, EmbedTask):
            raise Refusal("this model embeds texts")
        self.job = job
        whole = [encoding.ids for encoding in tokenizer.encode_batch(list(job.task.texts))]
        # A cut text keeps its last token, the separator that the model expects at the end.
        self.ids = [ids if len(ids) <= length else [*ids[: length - 1], ids[-1]] for ids in whole]
        self._truncated = tuple(index for index, ids in enumerate(whole) if len(ids) > length)
        self._vectors: list[bytes | None] = [None] * len(whole)
        self._left = len(whole)

    def put(self, index: int, vector: bytes) -> None:
        self._vectors[index] = vector
        self._left -= 1
        if self._left == 0:
            vectors = tuple(each for each in self._vectors if each is not None)
            tokens = sum(map(len, self.ids))
            self.job.finish(Embedded(vectors=vectors, prompt_tokens=tokens, truncated=self._truncated))


def _as_json(vector: list[float]) -> bytes:
    # Nine significant digits give a 32-bit float back exactly.
    return ("[" + ",".join(f"{value:.9g}" for value in vector) + "]").encode()


def load(spec: Load) -> Model:
    """Needs `model.onnx` and `tokenizer.json` in the folder; raises what onnxruntime and tokenizers raise."""
    return MiniLm(spec)
