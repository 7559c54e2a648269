"""Pixels and lengths from headers."""

import struct
import time

import pytest

from inferway.media.probe import check_pixels, find_duration_ms, find_size
from inferway.media.refusals import MediaTooLarge, MediaUnreadable
from tests.media import samples


@pytest.mark.parametrize(
    ("data", "mime", "size"),
    [
        (samples.png(640, 480), "image/png", (640, 480)),
        (samples.jpeg(640, 480), "image/jpeg", (640, 480)),
        (samples.gif(640, 480), "image/gif", (640, 480)),
        (samples.webp("VP8X", 640, 480), "image/webp", (640, 480)),
        (samples.webp("VP8L", 640, 480), "image/webp", (640, 480)),
        (samples.webp("VP8 ", 640, 480), "image/webp", (640, 480)),
        (b"....ftypheic", "image/heic", None),
    ],
)
def test_the_size_of_an_image_is_read_from_its_header(
    data: bytes, mime: str, size: tuple[int, int] | None
) -> None:
    assert find_size(data, mime) == size


@pytest.mark.parametrize(
    ("data", "mime"),
    [
        (samples.png(30_000, 30_000), "image/png"),
        (samples.jpeg(65_535, 65_535), "image/jpeg"),
        (samples.gif(65_535, 2_000), "image/gif"),
        (samples.webp("VP8X", 1 << 24, 1 << 24), "image/webp"),
        (b"GIF89a/*<script>alert(1)</script>*/", "image/gif"),
    ],
)
def test_an_image_of_too_many_pixels_is_refused(data: bytes, mime: str) -> None:
    with pytest.raises(MediaTooLarge) as refused:
        check_pixels(data, mime, 100_000_000)
    assert (refused.value.code, (refused.value.details or {})["max_pixels"]) == (
        "media_too_large",
        100_000_000,
    )


def test_an_image_of_exactly_the_allowed_pixels_is_taken() -> None:
    check_pixels(samples.png(10_000, 10_000), "image/png", 100_000_000)


@pytest.mark.parametrize(
    ("data", "mime"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\x89PNG\r\n\x1a\n<html><script>alert(1)</script>", "image/png"),
        (samples.png(0, 5), "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"\xff\xd8\xff\xe0\x00\x04ab<html>", "image/jpeg"),
        (b"GIF89a\0", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8X", "image/webp"),
        (b"RIFF\0\0\0\0WEBPJUNK" + b"\0" * 30, "image/webp"),
    ],
)
def test_an_image_whose_header_is_damaged_is_refused(data: bytes, mime: str) -> None:
    with pytest.raises(MediaUnreadable):
        find_size(data, mime)


def test_reading_a_jpeg_of_nothing_but_segments_ends_soon() -> None:
    for filling in (b"\xff", b"\xff\xe1\0\0", b"\xff\xe1\0\2", b"\xff\xd0"):
        started = time.process_time()
        with pytest.raises(MediaUnreadable):
            find_size(b"\xff\xd8" + filling * 250_000, "image/jpeg")
        assert time.process_time() - started < 0.05


@pytest.mark.parametrize(
    ("data", "mime", "milliseconds"),
    [
        (samples.wav(1.5), "audio/wav", 1500),
        (samples.aiff(3), "audio/aiff", 3000),
        (samples.flac(4), "audio/flac", 4000),
        (samples.ogg_opus(5), "audio/ogg", 5000),
        (samples.mp4(6), "video/mp4", 6000),
        (samples.mp4(6, version=1), "audio/mp4", 6000),
        (samples.mp3(10), "audio/mpeg", 261),
        (samples.mp3(10, id3=True), "audio/mpeg", 261),
        (samples.mp3(10, xing=1000), "audio/mpeg", 26122),
        (samples.WEBM, "audio/webm", None),
        (samples.PDF, "application/pdf", None),
        (b"RIFF\0\0\0\0WAVE", "audio/wav", None),
        (samples.mp4()[:40], "video/mp4", None),
    ],
)
def test_the_length_of_sound_is_read_from_headers(data: bytes, mime: str, milliseconds: int | None) -> None:
    assert find_duration_ms(data, mime) == milliseconds


def test_a_streamed_wav_that_states_no_size_is_as_long_as_what_is_there() -> None:
    data = samples.wav(2)
    at = data.index(b"data") + 4
    for stated in (0, 0xFFFFFFFF):
        assert find_duration_ms(data[:at] + struct.pack("<I", stated) + data[at + 4 :], "audio/wav") == 2000
