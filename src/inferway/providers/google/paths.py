"""Where Google serves a model: the path of a method on the Gemini API or on Vertex AI."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from inferway.errors import BadRequest
from inferway.providers.base import Target

GEMINI_VERSION = "v1beta"
VERTEX_VERSION = "v1beta1"
DEFAULT_LOCATION = "us-central1"
_COLLECTIONS = ("models", "tunedModels")


def on_vertex(target: Target) -> bool:
    """Whether the call goes to Vertex AI.

    Everything does when `use_vertex` is set, else the models that only Vertex AI serves (fact `vertex` is true), and those that are better
    there (`preferred`) when it is configured. Raises `BadRequest` when it has to and no Google Cloud project is configured.
    """
    served = target.facts.get("vertex")
    if served == "preferred" and target.options.get("vertex_configured"):
        return True
    if not target.options.get("use_vertex") and served is not True:
        return False
    if not target.options.get("project"):
        raise BadRequest(
            f"{target.model} is served by Vertex AI, and no Google Cloud project is configured here",
            code="vertex_not_configured",
        )
    return True


def method_path(target: Target, method: str) -> str:
    """The path of a method such as `generateContent`, where the target is served."""
    place = _vertex_model(target) if on_vertex(target) else _gemini_model(target)
    return f"{place}:{method}"


def model_resource(target: Target) -> str:
    """The model's resource name on the Gemini API, e.g. `models/gemini-embedding-2`."""
    first, slash, rest = target.model.partition("/")
    return target.model if slash and rest and first in _COLLECTIONS else f"models/{target.model}"


def vertex_base_url(location: str) -> str:
    """Google's own address of Vertex AI at a location."""
    host = "aiplatform.googleapis.com" if location == "global" else f"{location}-aiplatform.googleapis.com"
    return f"https://{host}"


def _gemini_model(target: Target) -> str:
    collection, _, name = model_resource(target).partition("/")
    version = _option(target.options, "api_version", GEMINI_VERSION)
    return f"/{version}/{collection}/{quote(name, safe='')}"


def _vertex_model(target: Target) -> str:
    options = target.options
    version = _option(options, "vertex_api_version", VERTEX_VERSION)
    project, location = _option(options, "project", ""), _option(options, "location", DEFAULT_LOCATION)
    name = quote(target.model.removeprefix("models/"), safe="@")
    return f"/{version}/projects/{project}/locations/{location}/publishers/google/models/{name}"


def _option(options: Mapping[str, Any], name: str, default: str) -> str:
    return quote(str(options.get(name) or default), safe="")
