"""Counts calls as they end: a few additions to this worker's board for each."""

import logging
from bisect import bisect_left
from typing import NamedTuple

from inferway.errors import (
    EngineFailed,
    ProviderBadAnswer,
    ProviderFailed,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnreachable,
)
from inferway.observe.board import Board
from inferway.observe.families import DURATIONS_S, SHORT_S, Families
from inferway.types import Parameters, Usage
from inferway.usage.records import AttemptRecord, UsageRecord

OTHER = "other"
"""The model of calls whose model has no label of its own."""
TOKEN_METERS = ("input", "cached_read", "cache_write", "output", "reasoning", "audio_input")

_REMEMBERED = 4096
_ANSWERED = ("ok", "partial")
_CALLERS_FAULT = "BadRequestError"
_REAL = (
    "ok",
    ProviderRateLimited.default_code,
    ProviderFailed.default_code,
    ProviderUnreachable.default_code,
    ProviderTimeout.default_code,
    ProviderBadAnswer.default_code,
    EngineFailed.default_code,
)
"""Outcomes of a try that say that the model is there, or might be."""
_LONGEST_NAME = 100
_log = logging.getLogger("inferway.observe")


class _Call(NamedTuple):
    """Where a kind of call is counted."""

    calls: int
    call_s: int
    gateway_s: int
    model: "_Model"


class _Model(NamedTuple):
    """Where the usage of a model is counted; one token meter after the other."""

    tokens: tuple[int, ...]
    audio_s: int
    images: int
    vectors: int
    characters: int
    cost: int
    unpriced: int
    retries: int
    first_token_s: int


class CallMeter:
    """An observer of calls. Labels are bounded: at most `models_max` models have one, all others are `other`.

    A name becomes a label when the caller did not make it up: when the model answered, or failed for another reason than the request.
    """

    def __init__(self, board: Board, families: Families, *, models_max: int = 200) -> None:
        self._board, self._families, self._models_max = board, families, models_max
        self._cells = board.cells
        self._calls: dict[tuple[str, str, str, str, str | None], _Call] = {}
        self._attempts: dict[tuple[str, str, str], tuple[int, int]] = {}
        self._models: dict[tuple[str, str], _Model] = {}
        self._failed = False

    def ended(self, record: UsageRecord, parameters: Parameters) -> None:
        """Count a call."""
        del parameters
        try:
            self._count(record)
        except Exception:  # noqa: BLE001 - what observes a call must never fail it
            if not self._failed:
                _log.exception("a call could not be counted; this is said once")
            self._failed = True

    def answered_error(self, status: int, kind: str, code: str | None) -> None:
        """Count an error that the inference route answered with."""
        self._cells[self._board.place(self._families.error_answers, (str(status), kind, code or ""))] += 1

    def served(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request of another route."""
        cells, families = self._cells, self._families
        cells[self._board.place(families.http, (route, method, str(status)))] += 1
        self._add_duration(self._board.place(families.http_s, (route,)), seconds, DURATIONS_S)

    def _count(self, record: UsageRecord) -> None:
        key = (record.operation, record.provider, record.model, record.status, record.error_code)
        found = self._calls.get(key)
        if found is None:
            found = self._find_call(record, key)
        cells = self._cells
        calls, call_s, gateway_s, model = found
        seconds = record.latency_ms / 1000
        cells[calls] += 1
        cells[call_s] += seconds
        cells[call_s + 1 + bisect_left(DURATIONS_S, seconds)] += 1
        # Attempts side by side wait for more than the whole call lasted.
        own_s = seconds - record.upstream_ms / 1000
        if own_s > 0:
            cells[gateway_s] += own_s
        cells[gateway_s + 1 + bisect_left(SHORT_S, own_s)] += 1
        for attempt in record.attempts:
            self._count_attempt(attempt)
        if len(record.attempts) > 1:
            self._count_attempts_usage(record)
            cells[model.retries] += record.retries
        else:
            if record.usage.source != "none":
                self._count_usage(model, record.usage)
            if record.cost_microusd:
                cells[model.cost] += record.cost_microusd
        if record.cost_microusd is None and record.status in _ANSWERED:
            cells[model.unpriced] += 1
        if record.first_event_ms is not None:
            self._add_duration(model.first_token_s, record.first_event_ms / 1000, DURATIONS_S)

    def _count_attempt(self, attempt: AttemptRecord) -> None:
        key = (attempt.provider, attempt.model, attempt.outcome)
        places = self._attempts.get(key)
        if places is None:
            places = self._find_attempt(*key)
        cells = self._cells
        attempts, attempt_s = places
        seconds = attempt.duration_ms / 1000
        cells[attempts] += 1
        cells[attempt_s] += seconds
        cells[attempt_s + 1 + bisect_left(DURATIONS_S, seconds)] += 1

    def _count_usage(self, at: _Model, usage: Usage) -> None:
        cells, tokens = self._cells, at.tokens
        if usage.input:
            cells[tokens[0]] += usage.input
        if usage.cached_read:
            cells[tokens[1]] += usage.cached_read
        if usage.cache_write:
            cells[tokens[2]] += usage.cache_write
        if usage.output:
            cells[tokens[3]] += usage.output
        if usage.reasoning:
            cells[tokens[4]] += usage.reasoning
        if usage.audio_input:
            cells[tokens[5]] += usage.audio_input
        if usage.vectors:
            cells[at.vectors] += usage.vectors
        if usage.audio_ms or usage.images or usage.characters:
            cells[at.audio_s] += usage.audio_ms / 1000
            cells[at.images] += usage.images
            cells[at.characters] += usage.characters

    def _count_attempts_usage(self, record: UsageRecord) -> None:
        """What several tries used and cost belongs to the model that each asked."""
        for attempt in record.attempts:
            at = self._models[
                attempt.provider, self._label_of(attempt.provider, attempt.model, may_be_new=False)
            ]
            if attempt.usage is not None:
                self._count_usage(at, attempt.usage)
            if attempt.cost_microusd:
                self._cells[at.cost] += attempt.cost_microusd

    def _add_duration(self, at: int, seconds: float, bounds_s: tuple[float, ...]) -> None:
        self._cells[at] += seconds
        self._cells[at + 1 + bisect_left(bounds_s, seconds)] += 1

    def _find_call(self, record: UsageRecord, key: tuple[str, str, str, str, str | None]) -> _Call:
        is_real = record.status in _ANSWERED or record.error_type not in (None, _CALLERS_FAULT)
        name = self._label_of(record.provider, record.model, may_be_new=is_real)
        place, families = self._board.place, self._families
        kind = (record.operation, record.provider, name)
        found = _Call(
            calls=place(families.calls, (*kind, record.status, record.error_code or record.error_type or "")),
            call_s=place(families.call_s, kind),
            gateway_s=place(families.gateway_s, (record.operation,)),
            model=self._models[record.provider, name],
        )
        # What is `other` now may get a label of its own later.
        if name == record.model and len(self._calls) < _REMEMBERED:
            self._calls[key] = found
        return found

    def _find_attempt(self, provider: str, model: str, outcome: str) -> tuple[int, int]:
        name = self._label_of(provider, model, may_be_new=outcome in _REAL)
        place, families = self._board.place, self._families
        found = (
            place(families.attempts, (provider, name, outcome)),
            place(families.attempt_s, (provider, name)),
        )
        if name == model and len(self._attempts) < _REMEMBERED:
            self._attempts[provider, model, outcome] = found
        return found

    def _label_of(self, provider: str, model: str, *, may_be_new: bool) -> str:
        """The model's name if it has a label of its own, which it gets here when it may."""
        if (provider, model) in self._models:
            return model
        may_be_new = may_be_new and len(model) <= _LONGEST_NAME and model.isprintable()
        if may_be_new and len(self._models) < self._models_max:
            self._models[provider, model] = self._places_of(provider, model)
            return model
        if (provider, OTHER) not in self._models:
            self._models[provider, OTHER] = self._places_of(provider, OTHER)
        return OTHER

    def _places_of(self, provider: str, model: str) -> _Model:
        place, families, labels = self._board.place, self._families, (provider, model)
        return _Model(
            tokens=tuple(place(families.tokens, (*labels, meter)) for meter in TOKEN_METERS),
            audio_s=place(families.audio_s, labels),
            images=place(families.images, labels),
            vectors=place(families.vectors, labels),
            characters=place(families.characters, labels),
            cost=place(families.cost, labels),
            unpriced=place(families.unpriced, labels),
            retries=place(families.retries, labels),
            first_token_s=place(families.first_token_s, labels),
        )
