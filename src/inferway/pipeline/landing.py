"""How a shared embedding call ended, as one worker tells another of the same machine."""

import msgspec
from msgspec import Struct

from inferway.pipeline.journey import Journey, Spent
from inferway.types import Adaptation, EmbeddingCall, EmbeddingResult, Usage
from inferway.usage.records import AttemptRecord

_NO_ROUTE = -1


class Landed(Struct, frozen=True, kw_only=True, array_like=True):
    """The way of the call and its result, as MessagePack.

    `pays`: all this happened to whoever reads it. Otherwise another request bears it, and `spent` is what gave the answer. `route` is the
    place among the caller's targets of the one that answered; -1: there is no result, so make a call of your own. A vector is the
    JSON that the provider sent, unread, or numbers.
    """

    pays: bool = False
    attempts: tuple[AttemptRecord, ...] = ()
    spent: tuple[Spent, ...] = ()
    is_cost_known: bool = True
    adaptations: tuple[Adaptation, ...] = ()
    warnings: tuple[str, ...] = ()
    route: int = _NO_ROUTE
    vectors: tuple[bytes | list[float], ...] = ()
    usage: Usage = Usage()
    model: str | None = None

    def has_result_for(self, call: EmbeddingCall, routes: int) -> bool:
        """Whether the call is answered by this."""
        return 0 <= self.route < routes and len(self.vectors) == len(call.items)

    def result(self) -> EmbeddingResult:
        """The vectors as they left the worker that made the call."""
        vectors = tuple(msgspec.Raw(each) if isinstance(each, bytes) else each for each in self.vectors)
        return EmbeddingResult(vectors=vectors, usage=self.usage, model=self.model)


def landed(made: Journey, *, pays: bool, result: EmbeddingResult | None = None, route: int = 0) -> Landed:
    """What another worker is told; `made` is the way of the call, or what of it a payer bears."""
    if result is None:
        return Landed(
            pays=pays,
            attempts=tuple(made.attempts) if pays else (),
            spent=tuple(made.spent) if pays else (),
            is_cost_known=made.is_cost_known,
        )
    return Landed(
        pays=pays,
        attempts=tuple(made.attempts) if pays else (),
        spent=tuple(made.spent if pays else made.spent[-1:]),
        is_cost_known=made.is_cost_known,
        adaptations=tuple(made.adaptations),
        warnings=tuple(made.warnings),
        route=route,
        # Raw bytes would be taken for MessagePack: they are JSON, and stay a string of bytes.
        vectors=tuple(bytes(each) if isinstance(each, msgspec.Raw) else each for each in result.vectors),
        usage=result.usage,
        model=result.model,
    )


def bear(told: Landed, journey: Journey) -> None:
    """What another worker began happened to this call, if it is the one that pays."""
    if told.pays:
        journey.attempts += told.attempts
        journey.spent += told.spent
        journey.is_cost_known = journey.is_cost_known and told.is_cost_known


def adopt(told: Landed, journey: Journey) -> None:
    """What another worker told answers this call."""
    if not told.pays and told.spent:
        journey.shared = told.spent[-1]
    journey.adaptations |= dict.fromkeys(told.adaptations)
    journey.warnings |= dict.fromkeys(told.warnings)
