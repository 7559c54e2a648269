"""The dry run: everything but the calling."""

import hashlib
from typing import Any

import msgspec

from inferway.pipeline.attempts import prepare
from inferway.pipeline.estimate import prompt_tokens
from inferway.pipeline.plan import Plan, Route
from inferway.pipeline.ports import Pricer
from inferway.providers.base import WireRequest
from inferway.types import Adaptation, Call, ChatCall, Media, MediaKind, Usage

_SHOWN_BYTES = 256 * 1024
NOT_FETCHED = "media were not fetched from their URLs: their content is empty in what is shown"
_LIKELY_MIME = {
    MediaKind.IMAGE: "image/png",
    MediaKind.AUDIO: "audio/wav",
    MediaKind.VIDEO: "video/mp4",
    MediaKind.DOCUMENT: "application/pdf",
}


def rehearse(
    plan: Plan, calls: tuple[Call, ...], pricer: Pricer
) -> tuple[dict[str, Any], tuple[Adaptation, ...]]:
    """What would be sent to each target, without credentials, and about what it would cost.

    The estimate counts the prompt's text at one token for four bytes, and `max_tokens` as if all of it came; its cost is None without a
    known price or without `max_tokens`.
    """
    adaptations: dict[Adaptation, None] = {}
    targets = []
    for route in plan.routes:
        prepared = [prepare(route, call) for call in calls]
        for item in prepared:
            adaptations.update(dict.fromkeys(item.adaptations))
        targets.append(
            {
                "provider": route.target.provider,
                "model": route.target.model,
                "requests": [_shown(item.payload) for item in prepared],
                "estimate": _estimate(route, calls, pricer),
            }
        )
    data = {"dry_run": True, "operation": plan.operation.value, "targets": targets}
    return data, tuple(adaptations)


def unfetched(media: Media) -> Media:
    """What stands for media at a URL: a dry run calls nobody, so that neither its content nor its type is known."""
    return Media(kind=media.kind, data=b"", mime=_LIKELY_MIME[media.kind])


def _shown(payload: object) -> dict[str, Any]:
    if not isinstance(payload, WireRequest):
        return {"method": "local"}
    shown: dict[str, Any] = {"method": payload.method, "path": payload.path}
    is_json = any(value.startswith("application/json") for _, value in payload.headers)
    if is_json and len(payload.body) <= _SHOWN_BYTES:
        return {**shown, "body": msgspec.Raw(payload.body)}
    return {**shown, "body_bytes": len(payload.body), "body_sha256": hashlib.sha256(payload.body).hexdigest()}


def _estimate(route: Route, calls: tuple[Call, ...], pricer: Pricer) -> dict[str, Any]:
    prompt = sum(prompt_tokens(call) for call in calls)
    answers = [call.parameters.max_tokens for call in calls if isinstance(call, ChatCall)]
    most = sum(answer for answer in answers if answer is not None)
    price = None
    if None not in answers:
        usage = Usage(input=prompt, output=most, source="estimated")
        price = pricer.price(route.target.provider, route.target.model, usage)
    return {
        "prompt_tokens": prompt,
        "max_completion_tokens": None if None in answers else most,
        "cost_usd": None if price is None else price.microusd / 1_000_000,
    }
