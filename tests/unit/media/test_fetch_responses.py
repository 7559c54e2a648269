"""Broken, hostile and honest forms of one HTTP response."""

import pytest

from inferway.media.refusals import MediaUnavailable
from tests.media.fetching import PNG, load, make_loader
from tests.media.origin import Origin, redirect, response

BROKEN: dict[str, bytes] = {
    "not found": response(PNG, status="404 Not Found"),
    "server error": response(PNG, status="500 Oops"),
    "partial": response(PNG, status="206 Partial"),
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "redirect to nowhere": response(b"", status="302 Found"),
    "two locations": response(b"", "Location: /a.png", "Location: /b", status="302 Found"),
    "upgrade": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "gzip": response(PNG, "Content-Encoding: gzip"),
    "br": response(PNG, "Content-Encoding: identity, br"),
    "two encodings": response(PNG, "Content-Encoding: identity", "Content-Encoding: gzip"),
    "gzip transfer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n" + PNG,
    "gzip then chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": response(PNG, "Content-Length: 3"),
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + PNG,
    "huge length": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 4000 + b"\r\n\r\n" + PNG,
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + PNG,
    "huge chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n" + PNG,
    "cut body": response(PNG)[:-1],
    "cut chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n\x89PNG\r\n",
    "cut head": b"HTTP/1.1 200 OK\r\nContent-",
    "nothing": b"",
    "not http": b"220 mail.example ESMTP\r\n",
    "http/2": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "status zero": b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n",
    "many headers": response(PNG, *(f"X-{n}: y" for n in range(200))),
    "long header": response(PNG, "X: " + "y" * 200_000),
    "interim flood": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 5000,
    "one-byte chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"".join(b"1\r\n%c\r\n" % byte for byte in PNG.ljust(100_000, b"\0"))
    + b"0\r\n\r\n",
    "chunk extensions": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"e" * 300_000,
    "trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 100_000,
}


@pytest.mark.parametrize("fault", BROKEN)
async def test_a_broken_or_hostile_response_is_refused_in_the_same_words(origin: Origin, fault: str) -> None:
    origin.answers["/x"] = BROKEN[fault]
    loader, _resolver, _road = make_loader(origin)
    with pytest.raises(MediaUnavailable) as refused:
        await load(loader, "http://h.example/x")
    assert (refused.value.status, refused.value.details) == (400, None)


GOOD: dict[str, bytes] = {
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n%x;a=b\r\n%b\r\n0\r\nT: x\r\n\r\n"
    % (len(PNG), PNG),
    "until the end": b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n" + PNG,
    "identity": response(PNG, "Content-Encoding: Identity"),
    "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLocation: /b\r\n\r\n"
    + response(PNG),
    "second response behind": response(PNG) + redirect("/b"),
    "lying type": response(PNG, "Content-Type: text/html", "Content-Disposition: x.svg"),
}


@pytest.mark.parametrize("form", GOOD)
async def test_every_honest_form_of_a_response_is_read(origin: Origin, form: str) -> None:
    origin.answers["/x"] = GOOD[form]
    loader, _resolver, _road = make_loader(origin)
    assert (await load(loader, "http://h.example/x")).data == PNG
