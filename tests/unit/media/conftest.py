"""The origin that the tests of fetching share."""

from collections.abc import AsyncIterator

import pytest

from tests.media.fetching import PNG
from tests.media.origin import Origin, response, running


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with running() as server:
        server.answers["/a.png"] = response(PNG, "Content-Type: text/html")
        yield server
