"""What content is, by its own bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway.errors import CallerError
from inferway.media.probe import check_pixels, find_duration_ms
from inferway.media.refusals import MediaType
from inferway.media.sniff import find_type, require_type
from inferway.types import MediaKind
from tests.media import samples

IMAGE, AUDIO, VIDEO, DOCUMENT = MediaKind.IMAGE, MediaKind.AUDIO, MediaKind.VIDEO, MediaKind.DOCUMENT


def _ftyp(brand: bytes, *compatible: bytes) -> bytes:
    content = b"ftyp" + brand + b"\0\0\0\0" + b"".join(compatible)
    return (len(content) + 4).to_bytes(4) + content + b"\0" * 32


@pytest.mark.parametrize(
    ("kind", "data", "mime"),
    [
        (IMAGE, samples.png(), "image/png"),
        (IMAGE, samples.jpeg(), "image/jpeg"),
        (IMAGE, samples.gif(), "image/gif"),
        (IMAGE, samples.webp("VP8X"), "image/webp"),
        (IMAGE, _ftyp(b"heic"), "image/heic"),
        (IMAGE, _ftyp(b"mif1", b"mif1", b"heic"), "image/heic"),
        (IMAGE, _ftyp(b"mif1", b"miaf"), "image/heif"),
        (AUDIO, samples.wav(), "audio/wav"),
        (AUDIO, samples.mp3(), "audio/mpeg"),
        (AUDIO, samples.mp3(id3=True), "audio/mpeg"),
        (AUDIO, samples.flac(), "audio/flac"),
        (AUDIO, samples.ogg_opus(), "audio/ogg"),
        (AUDIO, samples.mp4(brand=b"M4A "), "audio/mp4"),
        (AUDIO, samples.mp4(), "audio/mp4"),
        (AUDIO, samples.WEBM, "audio/webm"),
        (AUDIO, samples.aiff(), "audio/aiff"),
        (AUDIO, b"\xff\xf1\x50\x80\x00\x1f\xfc", "audio/aac"),
        (AUDIO, b"\xff\xf9\x50\x80\x00\x1f\xfc", "audio/aac"),
        (AUDIO, b"\0\0\1\xba\x44", "video/mpeg"),
        (VIDEO, samples.mp4(), "video/mp4"),
        (VIDEO, samples.mp4(brand=b"qt  "), "video/quicktime"),
        (VIDEO, samples.WEBM, "video/webm"),
        (VIDEO, samples.WEBM.replace(b"webm", b"matroska"), "video/x-matroska"),
        (VIDEO, b"\0\0\1\xb3\x14", "video/mpeg"),
        (VIDEO, samples.AVI, "video/x-msvideo"),
        (DOCUMENT, samples.PDF, "application/pdf"),
    ],
)
def test_magic_bytes_decide_the_type(kind: MediaKind, data: bytes, mime: str) -> None:
    assert require_type(kind, data) == mime


@pytest.mark.parametrize(
    ("kind", "data", "found"),
    [
        (IMAGE, samples.SVG, "image/svg+xml"),
        (IMAGE, b"  \n<svg onload=alert(1)>", "image/svg+xml"),
        (IMAGE, samples.SVG.decode("utf-8-sig").encode("utf-16"), "image/svg+xml"),
        (IMAGE, b"<!DOCTYPE html><html>", "text/html"),
        (IMAGE, b"BM\x46\0\0\0", "image/bmp"),
        (IMAGE, b"II*\0\x08\0\0\0", "image/tiff"),
        (IMAGE, _ftyp(b"avif"), "image/avif"),
        (IMAGE, samples.PDF, "application/pdf"),
        (IMAGE, samples.mp4(), "video/mp4"),
        (IMAGE, b"hello", None),
        (IMAGE, b"", None),
        (AUDIO, samples.HLS, "application/vnd.apple.mpegurl"),
        (AUDIO, b"ffconcat version 1.0\nfile 'http://127.0.0.1/'", "application/vnd.apple.mpegurl"),
        (AUDIO, b"concat:http://127.0.0.1/a|b", "application/vnd.apple.mpegurl"),
        (AUDIO, samples.AVI, "video/x-msvideo"),
        (AUDIO, samples.png(), "image/png"),
        (AUDIO, b"\xff\xff\xff\xff", None),
        (VIDEO, samples.HLS, "application/vnd.apple.mpegurl"),
        (VIDEO, samples.mp3(), "audio/mpeg"),
        (DOCUMENT, b"PK\3\4", "application/zip"),
        (DOCUMENT, b"junk%PDF-1.4", None),
    ],
)
def test_what_an_input_does_not_take_is_refused_and_named(
    kind: MediaKind, data: bytes, found: str | None
) -> None:
    with pytest.raises(MediaType) as refused:
        require_type(kind, data)
    assert (refused.value.details or {})["found"] == found
    assert (refused.value.status, refused.value.code) == (400, "media_type")


@pytest.mark.parametrize("token", [samples.HLS, b"ffconcat version 1.0", b"concat:http://127.0.0.1/|"])
def test_a_film_that_hides_a_list_of_addresses_is_refused(token: bytes) -> None:
    with pytest.raises(MediaType):
        require_type(VIDEO, samples.AVI + b"\0" * 5000 + b"GAB2\0\2\0" + token)


PIECES = [
    samples.png(),
    samples.jpeg(),
    samples.gif(),
    samples.wav(0.01),
    samples.aiff(),
    samples.flac(),
    samples.ogg_opus(),
]
PIECES += [
    samples.mp4(),
    samples.mp3(2, xing=9),
    samples.webp("VP8 "),
    samples.webp("VP8L"),
    samples.WEBM,
    samples.AVI,
]


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(PIECES)))
    for _ in range(draw(st.integers(0, 6))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))])


@given(st.binary(max_size=300) | _damaged(), st.sampled_from(MediaKind))
def test_any_bytes_have_a_type_or_a_refusal(data: bytes, kind: MediaKind) -> None:
    find_type(data)
    try:
        mime = require_type(kind, data)
        check_pixels(data, mime, 1_000_000)
    except CallerError:
        return
    length_ms = find_duration_ms(data, mime)
    assert length_ms is None or length_ms >= 0
