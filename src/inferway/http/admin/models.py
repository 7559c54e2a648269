"""The providers and their models, over HTTP, for people and programs that choose one."""

from typing import Protocol

from msgspec.structs import asdict

from inferway.access.records import Organization, Permission
from inferway.errors import InvalidShape
from inferway.http.admin.endpoint import Endpoint, Visit
from inferway.http.admin.model_answers import (
    ModelLimits,
    Models,
    ShownModel,
    ShownOperation,
    ShownParameter,
    ShownProvider,
)
from inferway.http.admin.query import Choice, Text
from inferway.pipeline.abilities import TRIED, Served, find_abilities
from inferway.providers.base import Facts, Provider
from inferway.types import Operation

_PROVIDER = Text(name="provider", about="Only this provider.")
_MODEL = Text(name="model", about="Only this model of it, listed or not, with what it takes.")
_OPERATION = Choice(
    name="operation", about="Only this operation in detail.", choices=tuple(each.value for each in TRIED)
)
_NAME_MAX = 256
_LIMITS = {
    "max_output_tokens": "max_tokens_max",
    "default_output_tokens": "max_tokens_default",
    "context_tokens": "context_tokens",
    "vector_length": "vector_length",
}


class Providers(Protocol):
    """The configured providers."""

    def get(self, name: str) -> Provider:
        """By name or alias; raises `BadRequest`."""
        ...

    def rows(self) -> tuple[Provider, ...]:
        """All of them, by name."""
        ...


class ModelRoutes:
    """`GET /v1/inference/models`."""

    def __init__(self, providers: Providers) -> None:
        self._providers = providers

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The route and what it needs."""
        return (
            Endpoint(
                name="list_models",
                method="GET",
                path="/v1/inference/models",
                permission=Permission.READ,
                scope="anyone",
                handler=self.list,
                query=(_PROVIDER, _MODEL, _OPERATION),
                refusals=(400,),
            ),
        )

    async def list(self, visit: Visit) -> Models:
        """Lists the providers and the models that are known by name; a model that is asked for comes with what it takes.

        A model that is not listed may be called all the same.
        """
        name, model = visit.ask(_PROVIDER), visit.ask(_MODEL)
        if model is not None and (not name or not 0 < len(model) <= _NAME_MAX):
            message = f"model is 1 to {_NAME_MAX} characters, and its provider stands beside it"
            raise InvalidShape.at(["query", "model"], "value_error", message)
        rows = (self._providers.get(name),) if name else self._providers.rows()
        asked = visit.ask(_OPERATION)
        organization = visit.holder.organization
        results = tuple(_shown(row, organization, model, asked) for row in rows)
        return Models(results=results, total=len(results))


def _shown(row: Provider, organization: Organization, model: str | None, asked: str | None) -> ShownProvider:
    is_lent = row.name in organization.credentials
    return ShownProvider(
        provider=row.name,
        kind=row.kind,
        # A compatible server stands in the settings on purpose, and many want no key.
        configured=is_lent
        or row.credential is not None
        or row.address is None
        or row.kind == "openai_compatible",
        operations=tuple(each for each in Operation if each in row.operations),
        models=_listed(row) if model is None else (_detailed(row, model, asked),),
    )


def _listed(row: Provider) -> tuple[ShownModel, ...]:
    return tuple(_model(row, name) for name in row.names())


def _model(row: Provider, name: str) -> ShownModel:
    facts = row.facts(name)
    limits = {shown: facts.get(known) for shown, known in _LIMITS.items()}
    limits["default_output_tokens"] = limits["default_output_tokens"] or facts.get("max_tokens_unasked")
    return ShownModel(
        model=name,
        is_listed=name in row.names(),
        operations=_operations(row, facts),
        limits=ModelLimits(**limits),
    )


def _operations(row: Provider, facts: Facts) -> tuple[Operation, ...]:
    """What the facts say, else chat and vision, which nearly every model does."""
    stated = facts.get("operations")
    if stated is None:
        stated = ("chat",) if facts.get("vision") is False else ("chat", "vision")
    return tuple(each for each in Operation if each.value in stated and each in row.operations)


def _detailed(row: Provider, name: str, asked: str | None) -> ShownModel:
    chosen = (Operation(asked),) if asked else tuple(TRIED)
    found = tuple(_operation(find_abilities(row, name, each)) for each in chosen)
    plain = _model(row, name)
    return ShownModel(
        model=plain.model,
        is_listed=plain.is_listed,
        operations=plain.operations,
        limits=plain.limits,
        detail=found,
    )


def _operation(served: Served) -> ShownOperation:
    return ShownOperation(
        operation=served.operation,
        served=served.served,
        reason=served.reason,
        parameters=tuple(ShownParameter(**asdict(each)) for each in served.parameters),
    )
