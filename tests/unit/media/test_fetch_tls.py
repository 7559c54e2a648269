"""TLS of the fetcher: the name is verified, whoever cannot be trusted is refused."""

import ssl
from pathlib import Path

import pytest

from inferway.media.loader import MediaLoader
from inferway.media.policy import MediaSettings
from inferway.media.refusals import MediaUnavailable
from tests.media.certificates import Authority
from tests.media.fetching import PNG, QUICK, load, make_loader
from tests.media.origin import PUBLIC, Road, TableResolver, response, running


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


async def test_tls_is_verified_for_the_name_and_the_name_is_sent(authority: Authority) -> None:
    asked: list[str | None] = []
    server_tls = authority.server_context("h.example")
    server_tls.sni_callback = lambda _socket, name, _context: asked.append(name)
    async with running(server_tls) as origin:
        origin.answers["/a.png"] = response(PNG)
        resolver = TableResolver({"h.example": [[PUBLIC]], "other.example": [[PUBLIC]]})
        loader = MediaLoader(QUICK, resolver=resolver, dial=Road(origin.port), tls=authority.client_context())
        assert (await load(loader, "https://h.example/a.png")).data == PNG
        with pytest.raises(MediaUnavailable):
            await load(loader, "https://other.example/a.png")
        assert asked == ["h.example", "other.example"]
        assert len(origin.heads) == 1


@pytest.mark.parametrize("fault", ["unknown authority", "expired", "plain text"])
async def test_a_server_that_cannot_be_trusted_is_refused(authority: Authority, fault: str) -> None:
    server_tls: ssl.SSLContext | None = authority.server_context("h.example", expired=fault == "expired")
    client_tls = authority.client_context() if fault != "unknown authority" else Authority().client_context()
    async with running(None if fault == "plain text" else server_tls) as origin:
        origin.answers["/a.png"] = response(PNG)
        resolver = TableResolver({"h.example": [[PUBLIC]]})
        loader = MediaLoader(QUICK, resolver=resolver, dial=Road(origin.port), tls=client_tls)
        with pytest.raises(MediaUnavailable):
            # The plain one waits for more of what it takes for a request.
            await load(loader, "https://h.example/a.png", deadline_s=1)
        assert origin.heads == []


async def test_the_settings_name_the_authorities_to_trust(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(authority.pem())
    settings = MediaSettings(connect_timeout_s=0.9, ca_file=str(tmp_path / "ca.pem"))
    async with running(authority.server_context("h.example")) as origin:
        origin.answers["/a.png"] = response(PNG)
        loader, _resolver, _road = make_loader(origin, settings)
        assert (await load(loader, "https://h.example/a.png")).data == PNG


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_authorities_that_cannot_be_read_are_refused_at_once(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ValueError, match=r"media\.ca_file"):
        MediaLoader(MediaSettings(ca_file=str(file)))
