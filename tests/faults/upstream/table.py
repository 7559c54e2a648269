"""The upstream faults as rows: what goes wrong, and what the caller must be told."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Literal

from tests.faults.upstream import plays
from tests.faults.upstream.plays import (
    SSE,
    Play,
    answers,
    before_ok,
    bomb,
    first,
    floods,
    html,
    raw,
    refuses,
    streams,
)
from tests.faults.upstream.wires import ANTHROPIC, GOOGLE, OPENAI, Wire, retry_info, used_up

Place = Literal["plain", "closed", "greeting", "tls", "tls_expired", "tls_other_name", "tls_unknown"]
"""Where the upstream is: on a port, on none, speaking before it is asked, or behind TLS of some kind."""


@dataclass(frozen=True)
class Told:
    """What the caller gets: status, type, code. `attempts` are the requests that reach the upstream."""

    status: int
    type: str = ""
    code: str = ""
    attempts: int = 1


OK = Told(200)
REPEATED = Told(200, attempts=2)
REFUSED = Told(400, "BadRequestError", "provider_refused")
AUTH = Told(500, "InferenceError", "provider_auth")
QUOTA = Told(500, "InferenceError", "provider_quota")
LIMITED = Told(429, "TooManyRequestsError", "provider_rate_limited", attempts=3)
LIMITED_LONG = Told(429, "TooManyRequestsError", "provider_rate_limited")
FAILED = Told(500, "InferenceError", "provider_error", attempts=3)
BAD = Told(500, "InferenceError", "provider_bad_answer")
TLS = Told(500, "InferenceError", "provider_tls", attempts=0)
TIMEOUT = Told(503, "InferenceServiceUnavailableError", "timeout")
UNREACHABLE = Told(503, "InferenceServiceUnavailableError", "provider_unreachable", attempts=0)
LOST = Told(503, "InferenceServiceUnavailableError", "provider_unreachable")


@dataclass(frozen=True)
class Fault:
    """A row. `row` is its line in the catalogue; `waits_s` what must pass between the first two attempts at least.

    `calls` go out one after another, and the last one's answer counts. `only` are the providers that can have it; `differs` says where one
    of them tells something else.
    """

    name: str
    row: str
    told: Told
    play: Play = plays.silence
    place: Place = "plain"
    stream: bool = False
    timeout_s: float = 20.0
    waits_s: float = 0.0
    calls: int = 1
    only: tuple[Wire, ...] = (OPENAI, ANTHROPIC, GOOGLE)
    differs: tuple[tuple[Wire, Told], ...] = ()

    def told_of(self, wire: Wire) -> Told:
        """What a caller of this provider gets."""
        return dict(self.differs).get(wire, self.told)


def _used_up(wire: Wire) -> Play:
    status, body = used_up(wire)
    return answers(body, f"{status} No")


def _by_wire(choose: Callable[[Wire], Play]) -> Play:
    async def play(turn: plays.Turn) -> None:
        await choose(turn.wire)(turn)

    return play


def _hint(*headers: str) -> Play:
    return first(refuses(429, *headers))


def _date(seconds: float) -> Play:
    async def play(turn: plays.Turn) -> None:
        now = datetime.now(UTC)
        then = format_datetime(now + timedelta(seconds=seconds), usegmt=True)
        headers = (f"retry-after: {then}", f"date: {format_datetime(now, usegmt=True)}")
        await refuses(429, *headers)(turn)

    return first(play)


_TLS_VERSION_ALERT = bytes.fromhex("15030100020246")
_INFINITE = b"%x\r\n%s\r\n" % (65_536, b" " * 65_536)
_COMMENT = b"4000\r\n:" + b"." * 16_381 + b"\n\n\r\n"

TABLE: tuple[Fault, ...] = (
    # No connection, or no trust in it.
    Fault("connect refused", "U1", UNREACHABLE, place="closed", timeout_s=8),
    Fault("closed as soon as connected", "U1", LOST, place="greeting", play=raw(b"")),
    Fault("reset after the request", "U16", LOST, plays.resets_after_request),
    Fault("kept connection closed as we send", "U16", OK, plays.closes_kept, calls=4),
    Fault("TLS: expired", "U4", TLS, place="tls_expired"),
    Fault("TLS: another name", "U4", TLS, place="tls_other_name"),
    Fault("TLS: unknown authority", "U4", TLS, place="tls_unknown"),
    Fault("TLS: version refused", "U4", TLS, place="greeting", play=raw(_TLS_VERSION_ALERT)),
    Fault("TLS: handshake cut", "U4", TLS, place="greeting", play=raw(b"\x16\x03\x03\x00\x7a\x02\x00")),
    Fault("TLS: plain text instead", "U4", TLS, place="greeting", play=raw(b"HTTP/1.1 400 No\r\n\r\n")),
    Fault("TLS: as it should be (control)", "U4", OK, answers(Wire.ok), place="tls"),
    # Too slow.
    Fault("no answer", "U5", TIMEOUT, plays.silence, timeout_s=2),
    Fault("head dripping", "U5", TIMEOUT, plays.drips_head, timeout_s=2),
    Fault("body dripping", "U6", TIMEOUT, plays.drips_body, timeout_s=2),
    Fault("body stalls", "U6", TIMEOUT, plays.stalls_in_body, timeout_s=2),
    Fault(
        "stream stalls",
        "U6",
        TIMEOUT,
        streams(lambda w: w.stream()[:2], ends="stalls"),
        stream=True,
        timeout_s=2,
    ),
    # Cut short.
    Fault("less than Content-Length", "U7", BAD, plays.short_length),
    Fault("cut inside a chunk", "U7", BAD, plays.cut_chunk),
    Fault("no last chunk", "U7", BAD, plays.no_last_chunk),
    Fault("ends with the connection, too early", "U7", BAD, plays.close_delimited),
    Fault("reset in the body", "U7", BAD, plays.resets_in_body),
    Fault("stream cut", "U7", BAD, streams(lambda w: w.stream()[:-1], ends="cut"), stream=True),
    Fault(
        "stream without its last event",
        "U7",
        BAD,
        streams(lambda w: w.stream()[:1], ends="clean"),
        stream=True,
    ),
    # A 200 that is no answer.
    Fault("malformed JSON", "U8", BAD, answers(b'{"choices": [')),
    Fault("HTML with 200", "U8", BAD, html(200)),
    Fault("empty body", "U8", BAD, answers(b"")),
    Fault("empty object", "U8", BAD, answers(b"{}")),
    Fault("a number", "U8", BAD, answers(b"42")),
    Fault("null", "U8", BAD, answers(b"null")),
    Fault("not UTF-8", "U8", BAD, answers(b'{"id": "\xff\xfe"}')),
    Fault("nested 100,000 deep", "U8", BAD, answers(b"[" * 100_000)),
    Fault("wrong content type", "U8", OK, answers(Wire.ok, "200 OK", "content-type: text/plain")),
    Fault(
        "stream of rubbish", "U8", BAD, streams(lambda _: [b"data: {rubbish\n\n"], ends="clean"), stream=True
    ),
    # What providers refuse with.
    Fault("400", "U9", REFUSED, refuses(400)),
    Fault("401 with our key in it", "U9", AUTH, refuses(401)),
    Fault("402", "U10", QUOTA, refuses(402)),
    Fault("403", "U9", AUTH, refuses(403)),
    Fault("404", "U9", REFUSED, refuses(404)),
    Fault("413 as HTML", "U10", REFUSED, html(413)),
    Fault("429", "U9", LIMITED, refuses(429)),
    Fault("account used up", "U9", QUOTA, _by_wire(_used_up)),
    Fault("500", "U9", FAILED, refuses(500)),
    Fault("502 as HTML", "U9", FAILED, html(502)),
    Fault("503", "U9", FAILED, refuses(503)),
    Fault("504", "U9", FAILED, refuses(504)),
    Fault("529", "U10", FAILED, refuses(529)),
    Fault("500, then well", "U9", REPEATED, first(refuses(500))),
    Fault(
        "500 that must not be repeated",
        "U9",
        Told(500, "InferenceError", "provider_error"),
        refuses(500, "x-should-retry: false"),
        only=(OPENAI, ANTHROPIC),
    ),
    Fault(
        "error as an array",
        "U11",
        FAILED,
        answers(lambda w: b"[" + w.error(500) + b"]", "500 No"),
        only=(GOOGLE,),
    ),
    Fault(
        "error in the stream",
        "U10",
        Told(500, "InferenceError", "provider_error"),
        streams(lambda w: [*w.stream()[:3], w.error_event()], ends="clean"),
        stream=True,
    ),
    Fault("500 before the stream", "U10", FAILED, refuses(500), stream=True),
    # How long to wait.
    Fault("Retry-After: 1", "U12", REPEATED, _hint("retry-after: 1"), waits_s=1.0),
    Fault("Retry-After: 0.6", "U12", REPEATED, _hint("retry-after: 0.6"), waits_s=0.6),
    Fault("retry-after-ms: 700", "U12", REPEATED, _hint("retry-after-ms: 700"), waits_s=0.7),
    Fault("Retry-After: a date to come", "U12", REPEATED, _date(2), waits_s=1.0),
    Fault("Retry-After: a date gone by", "U12", REPEATED, _date(-100)),
    Fault("Retry-After: -1", "U12", REPEATED, _hint("retry-after: -1")),
    Fault("Retry-After: nan", "U12", REPEATED, _hint("retry-after: nan")),
    Fault("Retry-After: inf", "U12", REPEATED, _hint("retry-after: inf")),
    Fault("Retry-After: 1e309", "U12", REPEATED, _hint("retry-after: 1e309")),
    Fault("Retry-After: 9999999", "U12", LIMITED_LONG, _hint("retry-after: 9999999")),
    Fault("Retry-After twice", "U12", REPEATED, _hint("retry-after: 0", "retry-after: 1"), waits_s=1.0),
    Fault("Retry-After beyond the deadline", "U12", LIMITED_LONG, _hint("retry-after: 5"), timeout_s=3),
    Fault(
        "RetryInfo 0.8s",
        "U12",
        REPEATED,
        first(answers(retry_info("0.8s"), "429 No")),
        waits_s=0.8,
        only=(GOOGLE,),
    ),
    Fault("RetryInfo 3600s", "U12", LIMITED_LONG, answers(retry_info("3600s"), "429 No"), only=(GOOGLE,)),
    # Too much.
    Fault(
        "endless body",
        "U13",
        BAD,
        floods(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", _INFINITE),
    ),
    Fault("endless body without a length", "U13", BAD, floods(b"HTTP/1.1 200 OK\r\n\r\n", b" " * 65_536)),
    Fault(
        "announced as 1 TB",
        "U13",
        BAD,
        floods(b"HTTP/1.1 200 OK\r\ncontent-length: 1099511627776\r\n\r\n", b" "),
    ),
    Fault("endless head", "U13", BAD, floods(b"HTTP/1.1 200 OK\r\n", b"x-more: " + b"y" * 1000 + b"\r\n")),
    Fault(
        "endless stream",
        "U13",
        BAD,
        floods(b"HTTP/1.1 200 OK\r\n" + SSE.encode() + b"\r\ntransfer-encoding: chunked\r\n\r\n", _COMMENT),
        stream=True,
    ),
    Fault("gzip bomb", "U14", BAD, bomb("gzip")),
    Fault("deflate", "U14", BAD, bomb("deflate")),
    Fault("brotli", "U14", BAD, bomb("br")),
    # Elsewhere.
    Fault("redirect to itself", "U15", BAD, answers(b"", "302 Found", "location: /v1/chat/completions")),
    Fault(
        "redirect that keeps the method", "U15", BAD, answers(b"", "307 Go", "location: http://127.0.0.1:9/")
    ),
    Fault("redirect for good", "U15", BAD, answers(b"", "308 Go", "location: https://elsewhere.example/")),
    # Odd HTTP.
    Fault("100 before the answer", "U17", OK, before_ok(b"HTTP/1.1 100 Continue\r\n\r\n")),
    Fault("103 before the answer", "U17", OK, before_ok(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")),
    Fault("204", "U17", BAD, raw(b"HTTP/1.1 204 No Content\r\n\r\n")),
    Fault("304", "U17", BAD, raw(b"HTTP/1.1 304 Not Modified\r\n\r\n")),
    Fault("endless 100s", "U17", BAD, floods(b"", b"HTTP/1.1 100 Continue\r\n\r\n")),
    Fault(
        "101 to another protocol",
        "U17",
        BAD,
        raw(b"HTTP/1.1 101 Go\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
    ),
    Fault("not HTTP", "U17", BAD, raw(b"SSH-2.0-OpenSSH_9.2\r\n")),
    Fault(
        "two lengths", "U17", BAD, raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 5\r\n\r\n{}")
    ),
    # Wrong counts.
    Fault("no usage", "U19", OK, answers(lambda w: w.ok(missing=True))),
    Fault("negative usage", "U19", OK, answers(lambda w: w.ok(each=-7))),
    Fault("usage as text", "U19", OK, answers(lambda w: w.ok(each="many"))),
    Fault("huge usage", "U19", OK, answers(lambda w: w.ok(each=10**30))),
    Fault("usage of zero", "U19", OK, answers(lambda w: w.ok(each=0))),
    Fault("date of 1970", "U19", OK, answers(Wire.ok, "200 OK", "date: Thu, 01 Jan 1970 00:00:00 GMT")),
)
"""At the first three attempts that fail in the same way a call gives up; the waits between them are random."""
