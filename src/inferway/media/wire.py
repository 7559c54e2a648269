"""One HTTP/1.1 exchange as bytes (RFC 9112): the request that is written and a bounded reading of the response. No I/O."""

from typing import Final

import httptools

from inferway.media.guard import Target
from inferway.media.refusals import FetchFailed, MediaTooLarge

MAX_HEAD_BYTES: Final = 32 * 1024
MAX_HEADERS: Final = 100
# Chunk sizes, extensions and trailers may weigh as much as the content and this; one-byte chunks only burn our time.
_FRAMING_BYTES: Final = 64 * 1024


def request_bytes(target: Target) -> bytes:
    """A GET that carries nothing of the caller: no cookies, no credentials, no referrer; identity encoding only."""
    lines = (
        f"GET {target.path} HTTP/1.1",
        f"Host: {target.host_header()}",
        "User-Agent: inferway-media",
        "Accept: */*",
        "Accept-Encoding: identity",
        "Connection: close",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def too_large(max_bytes: int) -> MediaTooLarge:
    """The refusal of content above `max_bytes`."""
    return MediaTooLarge(
        f"The media is larger than the {max_bytes:,} bytes allowed here.", details={"max_bytes": max_bytes}
    )


class ResponseReader:
    """Takes the bytes of one response. `status` is 0 until the final head is complete; FetchFailed when it breaks a rule.

    A body ends by Content-Length, by chunked coding or by the end of the connection; no other coding is taken.
    """

    def __init__(self) -> None:
        self.status = 0
        self.finished = False
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._wire_bytes = 0
        self._body_bytes = 0
        self._until_close = False

    def feed(self, data: bytes) -> bytes:
        """Read more of the response; the part of the body that it held."""
        self._wire_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            # What follows a complete response is of no interest.
            if not self.finished:
                raise FetchFailed("malformed HTTP response") from None
        if self.status == 0 and self._wire_bytes > MAX_HEAD_BYTES:
            raise FetchFailed("response head too large")
        if self._wire_bytes > 2 * self._body_bytes + MAX_HEAD_BYTES + _FRAMING_BYTES:
            raise FetchFailed("response with more framing than content")
        body, self._body = b"".join(self._body), []
        return body

    def feed_end(self) -> None:
        """The server closed; FetchFailed when the response was not complete."""
        if self.status == 0 or not (self.finished or self._until_close):
            raise FetchFailed("response cut short")
        self.finished = True

    def header(self, name: bytes) -> bytes | None:
        """The value of a header that may come once; None when it is absent, FetchFailed when it is repeated."""
        values = [value for key, value in self._headers if key == name]
        if len(values) > 1:
            raise FetchFailed(f"repeated {name.decode()} header")
        return values[0].strip() if values else None

    def content_length(self) -> int | None:
        """The length that the server announces, in bytes; None when it does not."""
        value = self.header(b"content-length")
        if value is None:
            return None
        # More digits than any content has; Python also limits how many it converts.
        if not value.isdigit() or len(value) > 18:
            raise FetchFailed("malformed content-length")
        return int(value)

    def check_codings(self) -> None:
        """FetchFailed unless the body comes as it is: no content coding, no transfer coding but chunked."""
        if (self.header(b"content-encoding") or b"identity").lower() != b"identity":
            raise FetchFailed("encoded content")
        transfer, length = self.header(b"transfer-encoding"), self.content_length()
        if transfer is not None and (transfer.lower() != b"chunked" or length is not None):
            raise FetchFailed("ambiguous framing")
        self._until_close = transfer is None and length is None

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser; trailers are dropped."""
        if self.status == 0 and len(self._headers) <= MAX_HEADERS:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Called by the parser; an interim response (1xx) and whatever follows a complete one are dropped."""
        status = self._parser.get_status_code()
        if self.finished:
            return
        if 100 <= status < 200:
            self._headers.clear()
            return
        # No HTTP/1 at all reads as a status that nothing takes.
        self.status = status if status and self._parser.get_http_version() in ("1.0", "1.1") else 999

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        if not self.finished:
            self._body_bytes += len(body)
            self._body.append(body)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self.status:
            self.finished = True

    def check_head(self) -> None:
        """FetchFailed when the head has too many headers."""
        if len(self._headers) > MAX_HEADERS:
            raise FetchFailed("too many headers")
