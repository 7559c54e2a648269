"""One server and one upstream for all HTTP tests of a session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.http.kit import Gateway, Reply, Upstream, completion, running


@pytest.fixture(scope="session")
def session_upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture(scope="session")
def gateway(session_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    data_dir: Path = tmp_path_factory.mktemp("gateway")
    base = session_upstream.url
    with running(
        data_dir,
        OPENAI_API_KEY="sk-upstream-secret-key",
        OPENAI_BASE_URL=f"{base}/v1",
        ANTHROPIC_API_KEY="anthropic-secret",
        ANTHROPIC_BASE_URL=base,
        GEMINI_API_KEY="google-secret",
        GOOGLE_GEMINI_BASE_URL=base,
        INFERWAY_SERVER__BODY_MAX_MB="4",
        INFERWAY_ACCESS__BAD_KEYS_PER_MINUTE="0",
    ) as started:
        yield started


@pytest.fixture
def upstream(session_upstream: Upstream) -> Upstream:
    """The upstream, answering every chat with "hello" until a test says otherwise."""
    session_upstream.seen.clear()
    session_upstream.gone.clear()
    session_upstream.answer = lambda _: Reply(completion())
    return session_upstream
