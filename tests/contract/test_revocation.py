"""A key that one process takes back is refused by another on the same database."""

import asyncio
from pathlib import Path

import pytest

from inferway.access.administration import Administration
from inferway.access.founding import found_or_recall
from inferway.access.gate import Gate
from inferway.errors import Unauthorized
from inferway.store.directory import SqlDirectory
from tests.databases.fixtures import EVERY_DATABASE, open_database

pytestmark = EVERY_DATABASE


async def test_a_revocation_reaches_another_process_within_five_seconds(place: str, tmp_path: Path) -> None:
    here, there = await open_database(place), await open_database(place)
    credentials = await found_or_recall(SqlDirectory(here), tmp_path)
    assert credentials is not None
    gate = Gate(SqlDirectory(there), refresh_s=0.01)
    bearer = f"Bearer {credentials.inference_key}".encode()
    await gate.authenticate(bearer, b"default")
    await Administration(SqlDirectory(here)).revoke_key(credentials.organization_id, "inference")

    async def until_refused() -> None:
        while True:
            await gate.authenticate(bearer, b"default")
            await asyncio.sleep(0.01)

    with pytest.raises(Unauthorized, match="revoked"):
        await asyncio.wait_for(until_refused(), 5)
    admin = await gate.authenticate(f"Bearer {credentials.admin_key}".encode(), b"default")
    assert admin.permission == "admin"
    await gate.aclose()
    await here.aclose()
    await there.aclose()
