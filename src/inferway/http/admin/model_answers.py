"""What the route of models answers."""

from msgspec import UNSET, Struct, UnsetType

from inferway.types import Operation


class ShownParameter(Struct, frozen=True, kw_only=True):
    """What becomes of one parameter: whether it is `taken`, else why not; beyond `minimum` and `maximum` a number is changed.

    `at_most` items of a list are taken, and of words those of `choices`; null is no bound that is known.
    """

    name: str
    taken: bool
    reason: str | None
    minimum: float | None
    maximum: float | None
    at_most: int | None
    choices: tuple[str, ...] | None


class ShownOperation(Struct, frozen=True, kw_only=True):
    """What a model makes of one operation."""

    operation: Operation
    served: bool
    reason: str | None
    parameters: tuple[ShownParameter, ...]


class ModelLimits(Struct, frozen=True, kw_only=True):
    """Sizes in tokens, and the length of a vector; null is not known.

    `default_output_tokens` is how long an answer may get when the call does not say.
    """

    max_output_tokens: int | None
    default_output_tokens: int | None
    context_tokens: int | None
    vector_length: int | None


class ShownModel(Struct, frozen=True, kw_only=True):
    """A model; `detail` where one is asked for by name."""

    model: str
    is_listed: bool
    operations: tuple[Operation, ...]
    limits: ModelLimits
    detail: tuple[ShownOperation, ...] | UnsetType = UNSET


class ShownProvider(Struct, frozen=True, kw_only=True):
    """A provider of this server. `configured`: there is a credential for it, the operator's or the organization's, or it needs none."""

    provider: str
    kind: str
    configured: bool
    operations: tuple[Operation, ...]
    models: tuple[ShownModel, ...]


class Models(Struct, frozen=True, kw_only=True):
    """The providers of this server with the models that are known by name."""

    results: tuple[ShownProvider, ...]
    total: int
