"""The page of health: whether each part is well, and how the providers are."""

import json

from starlette.responses import Response

from inferway.http.dashboard.asking import providers_of
from inferway.http.dashboard.view import View, Visitor

PARTS = {
    "cache": ("Cache", "What is remembered of keys is fresh."),
    "metadata": ("Metadata", "The database answers."),
    "vector_store": ("Vector store", "The database takes writes, where vectors are to be kept."),
    "object_storage": ("Object storage", "The data folder can be written and has room."),
    "task_queue": (
        "Task queue",
        "Usage moves from the journal to the database, and its backlog is within bounds.",
    ),
    "inference": (
        "Inference",
        "At least one provider can be called: it has a credential or is in this process.",
    ),
}
"""The parts of the deep check, and what each is here."""


class HealthPage:
    """How the server is."""

    def views(self) -> tuple[View, ...]:
        """The page."""
        return (View(method="GET", path="/health", handler=self.show),)

    async def show(self, visitor: Visitor) -> Response:
        """Looks at every part now; nobody's model is called."""
        deep = await visitor.api.get("/v1/health/deep")
        ready = await visitor.api.ask("GET", "/v1/health/readiness")
        errors = deep["errors"] or {}
        parts = [
            (name, *PARTS.get(name, (name, "")), is_well, errors.get(name) or "")
            for name, is_well in deep["data"].items()
        ]
        return await visitor.show(
            "health.html",
            status_word=deep["status"],
            parts_told=parts,
            is_ready=ready.status == 200,
            readiness=json.loads(ready.body).get("status", ""),
            providers=await providers_of(visitor),
        )
