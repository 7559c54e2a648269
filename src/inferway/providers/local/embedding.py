"""Text embeddings by local models."""

import msgspec

from inferway.errors import BadRequest, EngineFailed
from inferway.providers.base import Context, Prepared, Target
from inferway.providers.local.capability import Choice, Work, drop_extra, quality_warnings, run
from inferway.providers.local.catalogue import LocalModel
from inferway.providers.local.engine import Embedded, EmbedTask
from inferway.providers.local.pool import EnginePool
from inferway.providers.parameters import Rule, carry
from inferway.types import Adaptation, EmbeddingCall, EmbeddingResult, Operation, Usage

_RULES = {"dimensions": Rule(note="only the model's own number")}


class LocalEmbedding:
    """A `Capability` of `EmbeddingCall`."""

    max_batch = 32
    keeps_deadline = False

    def __init__(self, choice: Choice, pool: EnginePool) -> None:
        self._choice = choice
        self._pool = pool

    def prepare(self, call: EmbeddingCall, target: Target) -> Prepared:
        """Raises `BadRequest` for media and for a model that does not embed."""
        model = self._choice.require(target.model, Operation.TEXT_EMBEDDING)
        texts = tuple(item for item in call.items if isinstance(item, str))
        if len(texts) != len(call.items):
            raise BadRequest("local models embed texts only", code="operation_not_supported")
        carried = carry(call.parameters, _RULES, target.facts, f"the local model {model.id}")
        told = [*carried.adaptations, *drop_extra(call.parameters)[1]]
        asked = carried.left.get("dimensions")
        if asked is not None and asked != model.dimensions:
            told.append(_fixed(model))
        work = Work(model, EmbedTask(texts=texts))
        return Prepared(call=call, target=target, payload=work, adaptations=tuple(told))

    async def execute(self, prepared: Prepared, context: Context) -> EmbeddingResult:
        """See `EnginePool` for what it raises."""
        work: Work = prepared.payload
        output = await run(self._pool, work, context)
        if not isinstance(output, Embedded) or len(output.vectors) != work.task.weight:
            raise EngineFailed("the local engine did not give one vector for each text", retryable=False)
        warnings = list(quality_warnings(work.model))
        if output.truncated:
            warnings.append(
                f"texts above {work.model.context_length} tokens were cut: {work.model.id} reads no more"
            )
        return EmbeddingResult(
            vectors=tuple(msgspec.Raw(vector) for vector in output.vectors),
            usage=Usage(input=output.prompt_tokens, vectors=len(output.vectors), source="measured"),
            model=work.model.id,
            warnings=tuple(warnings),
        )


def _fixed(model: LocalModel) -> Adaptation:
    reason = f"{model.id} always gives {model.dimensions} dimensions"
    return Adaptation(field="parameters.dimensions", action="dropped", reason=reason)
