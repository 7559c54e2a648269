"""The catalogue of local models: data about each model, its files and where those can be found."""

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from inferway.errors import BadRequest
from inferway.types import Operation

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
PlainName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]


class WheelPart(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One member of one pinned wheel; `sha256` is the wheel's."""

    package: PlainName
    version: PlainName
    sha256: Sha256
    member: str


class WheelSource(
    Struct, frozen=True, kw_only=True, tag_field="kind", tag="wheel", forbid_unknown_fields=True
):
    """Members of wheels whose bytes, one after the other, are the file."""

    parts: Annotated[tuple[WheelPart, ...], Meta(min_length=1)]


class HubSource(Struct, frozen=True, kw_only=True, tag_field="kind", tag="hub", forbid_unknown_fields=True):
    """An address of the file at its publisher's."""

    url: Annotated[str, Meta(pattern="^https?://")]


class PathSource(Struct, frozen=True, kw_only=True, tag_field="kind", tag="path", forbid_unknown_fields=True):
    """A file on this machine, or a folder that has it under its catalogue name."""

    path: str


Source = WheelSource | HubSource | PathSource


class ModelFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a model; `size` in bytes."""

    name: PlainName
    sha256: Sha256
    size: Annotated[int, Meta(gt=0)]
    sources: tuple[Source, ...] = ()


class LocalModel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model. `memory_mb` and `load_s` are estimates until measured; `rank` orders chat models, best last.

    `context_length` is in tokens. `quality` is `minimal`, `demo`, `fair` or `good`, said as it is measured.
    `languages` None means many.
    """

    id: PlainName
    operation: Operation
    engine: str
    licence: str
    quality: Literal["minimal", "demo", "fair", "good"]
    context_length: int
    files: tuple[ModelFile, ...]
    title: str = ""
    aliases: tuple[str, ...] = ()
    default: bool = False
    memory_mb: int = 256
    load_s: float = 2.0
    rank: int = 0
    dimensions: int | None = None
    languages: tuple[str, ...] | None = None
    options: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)


class _Rows(Struct, forbid_unknown_fields=True):
    models: tuple[LocalModel, ...]


class Catalogue:
    """Models by id or alias; names are compared without case."""

    def __init__(self, models: Iterable[LocalModel]) -> None:
        self.models: Mapping[str, LocalModel] = {model.id: model for model in models}
        self._by_name: dict[str, LocalModel] = {}
        for model in self.models.values():
            for name in (*model.aliases, model.id):
                self._by_name[name.lower()] = model

    def find_model(self, name: str) -> LocalModel | None:
        """The model of an id or alias, or None."""
        return self._by_name.get(name.lower())

    def require_model(self, name: str, operation: Operation | None = None) -> LocalModel:
        """The model of an id or alias; raises `BadRequest` that lists the ids when there is none for the operation.

        The name `default` means the first default model of the operation.
        """
        if name.lower() == "default" and operation is not None:
            return next(
                model for model in self.models.values() if model.operation is operation and model.default
            )
        model = self.find_model(name)
        if model is None:
            raise BadRequest(
                f"provider local has no model {name!r}; it knows {', '.join(self.models)}",
                code="unknown_model",
                details={"provider": "local", "models": list(self.models)},
            )
        if operation is not None and model.operation is not operation:
            raise self._misused(model, operation)
        return model

    def defaults(self) -> tuple[LocalModel, ...]:
        """The models that are pulled without being asked for."""
        return tuple(model for model in self.models.values() if model.default)

    def _misused(self, model: LocalModel, operation: Operation) -> BadRequest:
        able = [each.id for each in self.models.values() if each.operation is operation]
        return BadRequest(
            f"the local model {model.id} does {model.operation.value}, not {operation.value};"
            f" for that there is {', '.join(able) or 'none'}",
            code="operation_not_supported",
            details={"provider": "local", "models": able},
        )


def parse_catalogue(text: str) -> tuple[LocalModel, ...]:
    """The rows of a catalogue file (TOML); raises ValueError that says where it is wrong."""
    return msgspec.convert(tomllib.loads(text), _Rows).models


@cache
def load_catalogue(extra: Path | None = None) -> Catalogue:
    """The shipped catalogue, with the rows of an operator's file added or put in the place of those of the same id."""
    shipped = files(__package__).joinpath("catalogue.toml").read_text(encoding="utf-8")
    rows = parse_catalogue(shipped)
    return Catalogue([*rows, *parse_catalogue(extra.read_text("utf-8"))] if extra else rows)
