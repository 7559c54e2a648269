"""What the routes of usage and cost answer."""

from datetime import datetime
from typing import Literal

from msgspec import UNSET, Struct, UnsetType


class Tokens(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tokens of all kinds; `prompt` + `completion` = `total`."""

    prompt: int
    completion: int
    total: int


class Meters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was used, by meters that do not overlap; `audio_ms` is milliseconds."""

    input: int
    cached_read: int
    cache_write: int
    output: int
    reasoning: int
    audio_input: int
    audio_ms: int
    images: int
    vectors: int
    characters: int


class Latency(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Milliseconds; null when nothing was answered. Percentiles are there where a row tells them."""

    mean: float | None
    p50: float | UnsetType | None = UNSET
    p95: float | UnsetType | None = UNSET
    p99: float | UnsetType | None = UNSET


class UsageTotal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What calls come to. The cost is that of the calls whose cost is known; `unpriced_calls` says how many are not in it.

    `statuses` counts the calls by how they ended: `ok`, `partial`, `error`, `client_disconnected`, `unknown`.
    """

    calls: int
    errors: int
    statuses: dict[str, int]
    attempts: int
    retries: int
    streamed: int
    cached: int
    tokens: Tokens
    meters: Meters
    cost_usd: float
    cost_microusd: int
    unpriced_calls: int
    latency_ms: Latency


class UsageOfDay(UsageTotal, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A UTC day."""

    day: datetime


class UsageOfModel(UsageTotal, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider's model."""

    provider: str
    model: str


class UsageOfNamespace(UsageTotal, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A namespace; one that was removed has no name."""

    namespace_id: str
    namespace_name: str | None


class UsageOfKey(UsageTotal, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key; one that was removed has no name."""

    key_id: str
    key_name: str | None


class UsageGroup(UsageTotal, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group of calls by what `group_by` named."""

    day: datetime | UnsetType = UNSET
    hour: datetime | UnsetType = UNSET
    provider: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    operation: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    namespace_id: str | UnsetType = UNSET
    namespace_name: str | UnsetType | None = UNSET
    key_id: str | UnsetType = UNSET
    key_name: str | UnsetType | None = UNSET


class OrganizationUsage(Struct, frozen=True, kw_only=True):
    """What an organization used: in all, and by day, model, namespace and key, or `groups` by what `group_by` named."""

    organization_id: str
    start: datetime
    end: datetime
    total: UsageTotal
    by_day: tuple[UsageOfDay, ...] | UnsetType = UNSET
    by_model: tuple[UsageOfModel, ...] | UnsetType = UNSET
    by_namespace: tuple[UsageOfNamespace, ...] | UnsetType = UNSET
    groups: tuple[UsageGroup, ...] | UnsetType = UNSET
    by_key: tuple[UsageOfKey, ...] | UnsetType = UNSET


class KeyUsage(Struct, frozen=True, kw_only=True):
    """What a key used: in all, and by day, model and namespace, or `groups` by what `group_by` named."""

    key_id: str
    name: str
    start: datetime
    end: datetime
    total: UsageTotal
    by_day: tuple[UsageOfDay, ...] | UnsetType = UNSET
    by_model: tuple[UsageOfModel, ...] | UnsetType = UNSET
    by_namespace: tuple[UsageOfNamespace, ...] | UnsetType = UNSET
    groups: tuple[UsageGroup, ...] | UnsetType = UNSET


class UsageOfOperation(UsageTotal, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a key used with one operation; all of them have one path."""

    endpoint: str
    method: Literal["POST"]
    operation: str


class ModelPerformance(UsageOfModel, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model's counts, tokens, cost and latencies; `count` and `model_name` are `calls` and `model`, `error_rate` is 0 to 1."""

    model_name: str
    count: int
    error_rate: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class OperationCost(UsageTotal, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operation cost. Nothing is billed in credits here: they are 0."""

    operation_type: str
    operation: str
    credits: int


class CostSummary(Struct, frozen=True, kw_only=True):
    """What each operation cost, the dearest first; `total_cost` is US dollars."""

    organization_id: str
    start: datetime
    end: datetime
    usage: tuple[OperationCost, ...]
    total_credits: int
    total_cost: float
    unpriced_calls: int
