"""What the command line does beside serving: keys and namespaces in the store, and the model files."""

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from inferway.access.administration import Administration
from inferway.access.credentials import FILE_NAME as CREDENTIALS_FILE
from inferway.access.directory import Directory
from inferway.access.envelope import Kek, Ring
from inferway.access.keyring import open_ring
from inferway.access.vault import Vault
from inferway.app.stores import Store
from inferway.cache.contents import Contents
from inferway.cache.kept import KeptAnswers
from inferway.errors import OperatorError
from inferway.pipeline.once import reseal_all
from inferway.pipeline.recall import reseal_calls
from inferway.providers.local.catalogue import LocalModel, load_catalogue
from inferway.providers.local.pull import ModelStatus, PullFailed, PullOptions, PullReport, list_models, pull
from inferway.providers.local.shelf import Busy, FileReport, Shelf
from inferway.settings import Settings
from inferway.usage.ledger import Ledger

_log = logging.getLogger("inferway.store")

_STRAGGLERS_S = 1.0
_ENGINE_PACKAGES = {
    "minilm": ("numpy", "onnxruntime", "tokenizers"),
    "whisper": ("av", "faster_whisper"),
    "llama": ("xllamacpp",),
}


class Office:
    """The store's books: who is there, what an administrator changes, the answers and calls kept, and what was used.

    `organization_id` is the founding organization's.
    """

    def __init__(
        self,
        directory: Directory,
        kept: KeptAnswers,
        contents: Contents,
        ledger: Ledger,
        organization_id: str,
    ) -> None:
        self.directory = directory
        self.kept, self.contents = kept, contents
        self.ledger = ledger
        self.organization_id = organization_id
        self.administration = Administration(directory)


@contextlib.asynccontextmanager
async def open_office(settings: Settings) -> AsyncIterator[Office]:
    """The store that the settings name, founded if it is empty. A server that runs on it sees changes within 5 s.

    Raises an `OperatorError`, and `StoreUnavailable`.
    """
    store = Store(settings)
    try:
        began = datetime.now(UTC)
        await store.open()
        organizations = await store.directory.list_organizations()
        if organizations[0].created_at >= began:
            # Somebody who named the wrong folder would make keys that no server knows.
            _log.warning(
                "nothing was here: a new organization was founded, with its first keys in %s",
                settings.data_dir / CREDENTIALS_FILE,
            )
        yield Office(
            store.directory, store.kept, store.contents, store.ledger, organizations[0].organization_id
        )
    finally:
        await store.aclose()


async def rotate_secrets_key(settings: Settings) -> tuple[str, int]:
    """Puts every secret, kept answer and kept call under a new key-encryption key: the key's id, and how many secrets there were.

    The old keys stay in the file until all is done, so that a rotation that was cut short is simply begun again. Raises an
    `OperatorError`, `StoreUnavailable`, and `CredentialUnavailable` when a secret cannot be opened; nothing is lost then.
    """
    async with open_office(settings) as office:
        ring = open_ring(settings.secrets_key_file, settings.secrets_key)
        vault = Vault(office.directory, ring)
        new = ring.prepend()
        count = await vault.rewrap_all(new)
        await _reseal(office, ring, new)
        # A server may have read the file just before, and store what it sealed a moment later.
        await asyncio.sleep(_STRAGGLERS_S)
        count += await vault.rewrap_all(new)
        await _reseal(office, ring, new)
        ring.keep_only(new)
        return new.kek_id, count


async def _reseal(office: Office, ring: Ring, new: Kek) -> None:
    await reseal_all(office.kept, ring, new)
    await reseal_calls(office.contents, ring, new)


class ModelDesk:
    """The model files of one data folder. All calls block."""

    def __init__(self, settings: Settings) -> None:
        self._catalogue = load_catalogue()
        self._shelf = Shelf(settings.models_dir)
        self._python = settings.local.python

    def list(self) -> tuple[ModelStatus, ...]:
        """Every model of the catalogue and its state."""
        return list_models(self._catalogue, self._shelf)

    def require(self, name: str) -> LocalModel:
        """A model by id or alias; raises `BadRequest` that lists the ids."""
        return self._catalogue.require_model(name)

    def defaults(self) -> tuple[str, ...]:
        """The ids of the models that are pulled unasked, smallest first."""
        return tuple(model.id for model in sorted(self._catalogue.defaults(), key=lambda each: each.size))

    def pull(
        self,
        name: str,
        on_progress: Callable[[int, int], object],
        on_note: Callable[[str], object],
        given: Path | None = None,
    ) -> PullReport:
        """Fetches a model; progress is bytes done and bytes in all. Raises `OperatorError` when no source gave it."""
        options = PullOptions(
            given=given,
            on_progress=lambda progress: _drop(on_progress(progress.done, progress.total)),
            on_note=lambda line: _drop(on_note(line)),
        )
        try:
            return pull(self.require(name), self._shelf, options)
        except PullFailed as error:
            raise OperatorError(f"{error}. Try again, or give its files with --from.") from None

    def remove(self, name: str) -> int:
        """Deletes a model's files; returns the bytes freed."""
        try:
            return self._shelf.remove(self.require(name))
        except Busy:
            raise OperatorError(f"{name} is being pulled. Wait until that has ended.") from None

    def verify(self, name: str) -> tuple[FileReport, ...]:
        """Takes the hash of every file of a model."""
        return self._shelf.verify(self.require(name))

    def missing_packages(self, name: str) -> tuple[str, ...]:
        """The packages that a model's engine needs and that are not installed; nothing is imported."""
        if self._python not in (None, sys.executable):
            return ()
        needed = _ENGINE_PACKAGES.get(self.require(name).engine, ())
        return tuple(package for package in needed if find_spec(package) is None)


def _drop(value: object) -> None:
    """Says that a callback's answer is of no interest."""
    del value
