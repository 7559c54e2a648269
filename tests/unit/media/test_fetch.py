"""The fetcher against a loopback origin: what is dialled, what is sent, what is refused and in which words."""

import asyncio
import contextlib
import logging
import time

import pytest
from msgspec.structs import replace

from inferway.errors import GatewayError, Overloaded
from inferway.media.loader import MediaLoader
from inferway.media.policy import MediaSettings
from inferway.media.refusals import MediaTooLarge, MediaType, MediaUnavailable
from inferway.types import Media, MediaKind
from tests.media import hostile, samples
from tests.media.fetching import PNG, QUICK, load, make_loader
from tests.media.origin import (
    PUBLIC,
    PUBLIC_V6,
    Answer,
    Origin,
    Road,
    TableResolver,
    redirect,
    response,
)


def _image(url: str) -> Media:
    return Media(kind=MediaKind.IMAGE, url=url)


async def test_content_is_fetched_and_typed_by_its_bytes(origin: Origin) -> None:
    loader, resolver, road = make_loader(origin)
    loaded = await load(loader, "http://h.example/a.png")
    assert loaded == Media(kind=MediaKind.IMAGE, data=PNG, mime="image/png")
    assert resolver.asked == ["h.example"]
    assert road.dialled == [(PUBLIC, 80)]


async def test_the_request_carries_nothing_but_what_a_fetch_needs(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", "/dev/null")
    origin.answers["/dir/a.png?q=1"] = response(PNG)
    loader, _resolver, _road = make_loader(origin)
    await load(loader, "http://h.example/dir/a.png?q=1#part")
    expected = (
        "GET /dir/a.png?q=1 HTTP/1.1\r\n"
        "Host: h.example\r\n"
        "User-Agent: inferway-media\r\n"
        "Accept: */*\r\n"
        "Accept-Encoding: identity\r\n"
        "Connection: close\r\n\r\n"
    )
    assert origin.heads == [expected]


async def test_no_hostile_url_is_dialled_and_all_are_answered_alike(origin: Origin) -> None:
    resolver = TableResolver({name: [list(answers)] for name, answers in hostile.NAMES.items()})
    road = Road(origin.port)
    loader = MediaLoader(QUICK, resolver=resolver, dial=road)
    urls = hostile.urls()
    assert len(urls) >= 300
    failures = await asyncio.gather(*(load(loader, url) for url in urls), return_exceptions=True)
    said = {(type(failure), str(failure), getattr(failure, "code", "")) for failure in failures}
    assert said == {(MediaUnavailable, MediaUnavailable().message, "media_unavailable")}
    assert road.dialled == []
    assert origin.heads == []


async def test_no_hostile_url_is_dialled_as_a_redirect(origin: Origin) -> None:
    table = {name: [list(answers)] for name, answers in hostile.NAMES.items()} | {"h.example": [[PUBLIC]]}
    road = Road(origin.port)
    loader = MediaLoader(
        replace(QUICK, deadline_s=60.0, connect_timeout_s=60.0), resolver=TableResolver(table), dial=road
    )
    # Relative ones are good redirects, and only a header can carry them.
    urls = [
        url
        for url in hostile.urls()
        if ":" in url[:12] and not set(url) & set("\r\n\0") and url.isprintable()
    ]
    assert len(urls) >= 300
    for number, url in enumerate(urls):
        origin.answers[f"/{number}"] = redirect(url.encode().decode("latin-1"))
    starts = [f"http://h.example/{number}" for number in range(len(urls))]
    failures = await asyncio.gather(*(load(loader, url) for url in starts), return_exceptions=True)
    assert {type(failure) for failure in failures} == {MediaUnavailable}
    assert set(road.dialled) == {(PUBLIC, 80)}
    assert len(road.dialled) == len(origin.heads) == len(urls)


async def test_a_name_is_resolved_once_for_each_hop_so_that_it_cannot_change_its_mind(origin: Origin) -> None:
    origin.answers["/1"] = redirect("/2")
    origin.answers["/2"] = redirect("http://other.example/a.png", "307 Temporary Redirect")
    loader, resolver, road = make_loader(origin)
    assert (await load(loader, "http://h.example/1")).data == PNG
    assert resolver.asked == ["h.example", "h.example", "other.example"]
    assert road.dialled == [(PUBLIC, 80), (PUBLIC, 80), ("8.8.8.8", 80)]
    assert [head.split("\r\n")[1] for head in origin.heads] == ["Host: h.example"] * 2 + [
        "Host: other.example"
    ]


async def test_a_name_that_turns_private_between_two_hops_is_refused(origin: Origin) -> None:
    origin.answers["/1"] = redirect("/a.png")
    loader, resolver, road = make_loader(origin, rebind_example=[[PUBLIC], ["127.0.0.1"]])
    with pytest.raises(MediaUnavailable):
        await load(loader, "http://rebind.example/1")
    assert resolver.asked == ["rebind.example"] * 2
    assert road.dialled == [(PUBLIC, 80)]


async def test_an_address_literal_is_never_resolved(origin: Origin) -> None:
    loader, resolver, road = make_loader(origin)
    await load(loader, f"http://{PUBLIC}/a.png")
    await load(loader, f"http://[{PUBLIC_V6}]/a.png")
    assert resolver.asked == []
    assert road.dialled == [(PUBLIC, 80), (PUBLIC_V6, 80)]


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"]
)
async def test_three_redirects_are_followed_and_a_fourth_is_not(origin: Origin, status: str) -> None:
    for hop in range(4):
        origin.answers[f"/{hop}"] = redirect(f"/{hop + 1}", status)
    origin.answers["/4"] = response(PNG)
    loader, _resolver, _road = make_loader(origin)
    assert (await load(loader, "http://h.example/1")).data == PNG
    with pytest.raises(MediaUnavailable):
        await load(loader, "http://h.example/0")
    assert origin.paths() == ["/1", "/2", "/3", "/4", "/0", "/1", "/2", "/3"]


@pytest.mark.parametrize(
    "location", ["/loop", "file:///etc/passwd", "gopher://h.example/", "//u@h.example/", "//h.example:22/"]
)
async def test_a_redirect_in_a_loop_or_to_another_scheme_port_or_user_is_refused(
    origin: Origin, location: str
) -> None:
    origin.answers["/loop"] = redirect(location)
    loader, _resolver, _road = make_loader(origin)
    with pytest.raises(MediaUnavailable):
        await load(loader, "http://h.example/loop")


async def _endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + PNG)
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(b"\0" * 65536)
            await writer.drain()


async def _endless_chunks(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n45\r\n"
        + PNG[:0x45].ljust(0x45, b"\0")
        + b"\r\n"
    )
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(b"10000\r\n" + b"\0" * 65536 + b"\r\n")
            await writer.drain()


@pytest.mark.parametrize("answer", [_endless, _endless_chunks, response(PNG + b"\0" * 100_000)])
async def test_content_above_the_cap_is_refused_with_the_cap_named(origin: Origin, answer: Answer) -> None:
    origin.answers["/big"] = answer
    settings = MediaSettings(max_image_bytes=100_000, max_audio_bytes=100_000)
    loader, _resolver, _road = make_loader(origin, settings)
    with pytest.raises(MediaTooLarge, match="100,000 bytes") as refused:
        await load(loader, "http://h.example/big")
    assert refused.value.details == {"max_bytes": 100_000}


async def test_an_announced_length_above_the_cap_is_refused_before_anything_is_read(origin: Origin) -> None:
    origin.answers["/big"] = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n"
    loader, _resolver, _road = make_loader(origin)
    with pytest.raises(MediaTooLarge):
        await load(loader, "http://h.example/big")


async def test_content_of_exactly_the_cap_is_taken(origin: Origin) -> None:
    content = PNG.ljust(100_000, b"\0")
    origin.answers["/cap"] = response(content)
    loader, _resolver, _road = make_loader(origin, MediaSettings(max_image_bytes=100_000))
    assert (await load(loader, "http://h.example/cap")).data == content


async def test_more_bytes_than_announced_are_not_read(origin: Origin) -> None:
    origin.answers["/lie"] = response(PNG) + b"\0" * 1_000_000
    loader, _resolver, _road = make_loader(origin)
    assert (await load(loader, "http://h.example/lie")).data == PNG


async def test_large_content_arrives_whole(origin: Origin) -> None:
    content = samples.wav(seconds=1200)
    origin.answers["/talk.wav"] = response(content)
    loader, _resolver, _road = make_loader(origin)
    loaded = await load(loader, "http://h.example/talk.wav", MediaKind.AUDIO)
    assert (loaded.mime, len(loaded.as_bytes())) == ("audio/wav", len(content))
    assert loaded.data == content


@pytest.mark.parametrize(
    "content", [samples.SVG, b"<html>", samples.HLS, b"MZ\x90", b"", samples.PDF, samples.wav()]
)
async def test_content_that_is_no_image_is_refused_whatever_it_is_called(
    origin: Origin, content: bytes
) -> None:
    origin.answers["/a.png"] = response(content, "Content-Type: image/png")
    loader, _resolver, _road = make_loader(origin)
    with pytest.raises(MediaType):
        await load(loader, "http://h.example/a.png")


async def test_an_endless_stream_of_the_wrong_type_ends_after_its_first_bytes(origin: Origin) -> None:
    sent = 0

    async def page(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n<html>")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b" " * 65536)
                await writer.drain()
                sent += 65536

    origin.answers["/page"] = page
    loader, _resolver, _road = make_loader(origin)
    with pytest.raises(MediaType):
        await load(loader, "http://h.example/page")
    assert sent < 20 * 1024 * 1024


async def _silence(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        await reader.read()


async def _drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("answer", [_silence, _drip])
@pytest.mark.parametrize("whose", ["the call's", "the setting's"])
async def test_one_deadline_covers_everything(origin: Origin, answer: Answer, whose: str) -> None:
    origin.answers["/slow"] = answer
    settings = MediaSettings(deadline_s=0.3 if whose == "the setting's" else 20)
    loader, _resolver, _road = make_loader(origin, settings)
    started = time.monotonic()
    with pytest.raises(MediaUnavailable):
        await load(loader, "http://h.example/slow", deadline_s=20 if whose == "the setting's" else 0.3)
    assert 0.25 < time.monotonic() - started < 1.3


class Stuck:
    """A resolver that never answers."""

    async def resolve(self, host: str, port: int) -> list[str]:  # noqa: ARG002  # The Protocol's.
        """Wait for ever."""
        await asyncio.Event().wait()
        return []


class Closed(Road):
    """A dialler whose every address refuses."""

    async def __call__(self, address, port):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204
        self.dialled.append((str(address), port))
        raise ConnectionRefusedError(111, "Connection refused")


class Filtered(Road):
    """A dialler whose every address is silent."""

    async def __call__(self, address, port):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204
        self.dialled.append((str(address), port))
        await asyncio.Event().wait()


async def test_blocked_refused_unknown_and_silent_targets_take_the_same_time_and_words(
    origin: Origin,
) -> None:
    settings = MediaSettings()
    known = TableResolver({"h.example": [[PUBLIC]], "private.example": [["10.0.0.1"]]})
    origin.answers["/404"] = response(b"", status="404 Not Found")
    cases = [
        (MediaLoader(settings, resolver=known, dial=Closed(0)), "http://h.example/"),
        (MediaLoader(settings, resolver=known, dial=Filtered(0)), "http://h.example/"),
        (MediaLoader(settings, resolver=known, dial=Road(origin.port)), "http://h.example/404"),
        (MediaLoader(settings, resolver=known), "http://private.example/"),
        (MediaLoader(settings, resolver=known), "http://unknown.example/"),
        (MediaLoader(settings, resolver=known), "http://10.0.0.1/"),
        (MediaLoader(settings, resolver=known), "http://h.example:22/"),
        (MediaLoader(settings, resolver=known), "gopher://h.example/"),
        (MediaLoader(settings, resolver=Stuck()), "http://h.example/"),
    ]

    async def measure(loader: MediaLoader, url: str) -> tuple[float, str]:
        started = time.monotonic()
        with pytest.raises(MediaUnavailable) as refused:
            await load(loader, url)
        return time.monotonic() - started, repr(
            (refused.value.message, refused.value.code, refused.value.details)
        )

    outcomes = await asyncio.gather(*(measure(*case) for case in cases))
    times_s = [time_s for time_s, _words in outcomes]
    assert len({words for _time, words in outcomes}) == 1
    assert max(times_s) - min(times_s) < 1.0


async def test_a_slow_first_hop_does_not_tell_a_closed_from_a_silent_second_one(origin: Origin) -> None:
    async def late(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.8)
        writer.write(redirect("http://other.example/"))

    origin.answers["/late"] = late

    class ThenClosed(Road):
        async def __call__(self, address, port):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204
            if str(address) != PUBLIC:
                raise ConnectionRefusedError
            return await super().__call__(address, port)

    resolver = TableResolver({"h.example": [[PUBLIC]], "other.example": [["8.8.8.8"]]})
    loader = MediaLoader(MediaSettings(), resolver=resolver, dial=ThenClosed(origin.port))
    started = time.monotonic()
    with pytest.raises(MediaUnavailable):
        await load(loader, "http://h.example/late")
    assert time.monotonic() - started >= 0.8 + 0.6 - 0.05


async def test_the_next_address_is_tried_when_the_first_refuses(origin: Origin) -> None:
    class FirstRefuses(Road):
        async def __call__(self, address, port):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204
            if not self.dialled:
                self.dialled.append((str(address), port))
                raise OSError(101, "Network is unreachable")
            return await super().__call__(address, port)

    road = FirstRefuses(origin.port)
    loader = MediaLoader(QUICK, resolver=TableResolver({"h.example": [[PUBLIC_V6, PUBLIC]]}), dial=road)
    assert (await load(loader, "http://h.example/a.png")).data == PNG
    assert road.dialled == [(PUBLIC_V6, 80), (PUBLIC, 80)]


async def test_fetches_are_bounded_and_the_rest_wait_then_are_shed(origin: Origin) -> None:
    origin.answers["/slow"] = _silence
    loader, _resolver, road = make_loader(origin, MediaSettings(max_concurrent=2, deadline_s=0.4))
    failures = await asyncio.gather(
        *(load(loader, "http://h.example/slow") for _ in range(2)),
        *(load(loader, "http://h.example/slow", deadline_s=0.2) for _ in range(3)),
        return_exceptions=True,
    )
    assert [type(failure) for failure in failures] == [MediaUnavailable] * 2 + [Overloaded] * 3
    assert len(road.dialled) == 2
    assert (await load(loader, "http://h.example/a.png")).data == PNG


async def test_the_bytes_held_at_once_are_bounded_and_given_back(origin: Origin) -> None:
    origin.answers["/big"] = response(PNG.ljust(200_000, b"\0"))
    loader, _resolver, _road = make_loader(origin, MediaSettings(max_buffered_bytes=100_000))
    for _ in range(3):
        with pytest.raises(Overloaded):
            await load(loader, "http://h.example/big")
    origin.answers["/fits"] = response(PNG.ljust(90_000, b"\0"))
    for _ in range(3):
        await load(loader, "http://h.example/fits")


async def test_a_cancelled_fetch_closes_its_connection_and_gives_its_place_back(origin: Origin) -> None:
    closed = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _silence(reader, writer)
        closed.set()

    origin.answers["/slow"] = wait
    loader, _resolver, _road = make_loader(origin, MediaSettings(max_concurrent=1))
    task = asyncio.create_task(load(loader, "http://h.example/slow"))
    await origin.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(2):
        await closed.wait()
    assert (await load(loader, "http://h.example/a.png")).data == PNG


async def test_the_log_has_the_cause_and_the_origin_and_no_secret(
    origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    loader, _resolver, _road = make_loader(origin, private_example=[["10.0.0.9"]])
    urls = ["http://private.example/sk_path?sig=sk_query", "http://sk_user:sk_pass@h.example/", "sk_all"]
    with caplog.at_level(logging.DEBUG):
        for url in urls:
            with contextlib.suppress(GatewayError):
                await load(loader, url)
    assert "10.0.0.9 is not public: private (http://private.example:80)" in caplog.text
    assert "sk_" not in caplog.text


async def test_a_url_for_a_provider_to_fetch_is_judged_without_asking_the_network() -> None:
    resolver = TableResolver()
    loader = MediaLoader(QUICK, resolver=resolver)
    loader.check_url("https://h.example/a.png")
    for url in ("file:///etc/passwd", "https://10.0.0.1/", "https://h.example:22/", "https://u@h.example/"):
        with pytest.raises(MediaUnavailable):
            loader.check_url(url)
    assert resolver.asked == []


async def test_several_pieces_are_loaded_in_order_and_too_many_are_refused(origin: Origin) -> None:
    for size in range(1, 21):
        origin.answers[f"/{size}"] = response(samples.png(size, 1))
    loader, _resolver, _road = make_loader(origin)
    items = [_image(f"http://h.example/{size}") for size in range(1, 21)]
    loaded = await loader.load_all(items, deadline_s=5)
    assert [item.data for item in loaded] == [samples.png(size, 1) for size in range(1, 21)]
    with pytest.raises(MediaTooLarge, match="20 pieces"):
        await loader.load_all([*items, items[0]], deadline_s=5)


async def test_one_piece_that_fails_ends_the_others(origin: Origin) -> None:
    origin.answers["/slow"] = _silence
    loader, _resolver, _road = make_loader(origin)
    items = [_image("http://h.example/slow"), _image("http://h.example/none")]
    async with asyncio.timeout(3):
        with pytest.raises(MediaUnavailable):
            await loader.load_all(items, deadline_s=10)


async def test_an_allowed_network_is_fetched_from_by_the_real_dialler_and_resolver(origin: Origin) -> None:
    settings = MediaSettings(
        connect_timeout_s=0.9,
        allow_hosts=("localhost",),
        allow_networks=("127.0.0.1/32",),
        allow_ports=(origin.port,),
    )
    loader = MediaLoader(settings)
    assert (await load(loader, f"http://127.0.0.1:{origin.port}/a.png")).data == PNG
    assert (await load(loader, f"http://localhost:{origin.port}/a.png")).data == PNG
    loader.close()


async def test_without_permission_the_real_dialler_does_not_reach_loopback(origin: Origin) -> None:
    loader = MediaLoader(MediaSettings(connect_timeout_s=0.9, allow_ports=(origin.port,)))
    for host in ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "[::1]", "0"):
        with pytest.raises(MediaUnavailable):
            await load(loader, f"http://{host}:{origin.port}/a.png")
    assert origin.heads == []
    loader.close()
