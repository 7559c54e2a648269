"""Read by schemathesis, in its own environment: keeps a run from sawing off the branch that it sits on."""

import os
from typing import Any
from urllib.parse import unquote

import schemathesis

_EMAIL = os.environ["INFERWAY_FUZZ_EMAIL"].lower()
_PROTECTED = {
    "key": {"admin", os.environ["INFERWAY_FUZZ_KEY_ID"]},
    "namespace": {"default", os.environ["INFERWAY_FUZZ_NAMESPACE"]},
}
_REAL = ("openai", "anthropic", "google", "gemini", "local")
_SAFE = ("GET", "POST")


@schemathesis.hook  # type: ignore[untyped-decorator] # its environment has no types for ours
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """The run's own key, its user and the namespace of its calls are not changed; providers are the made-up one."""
    del context, kwargs
    places = case.path_parameters or {}
    if case.method.upper() not in _SAFE or case.path.endswith("/rotate"):
        # Places may be escaped already.
        if unquote(str(places.get("email", ""))).lower() == _EMAIL and "key" not in places:
            places["email"] = "nobody@example.com"
        for name, texts in _PROTECTED.items():
            if unquote(str(places.get(name, ""))) in texts:
                places[name] = "none-of-that-name"
    body = case.body
    if isinstance(body, dict) and body.get("provider") in _REAL:
        body["provider"] = "fake"
