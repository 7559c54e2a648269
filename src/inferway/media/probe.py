"""Pixels of images and the length of sound, read from headers with bounded work. Nothing is decoded."""

import struct
from collections.abc import Iterator
from typing import Final

from inferway.media.refusals import MediaTooLarge, MediaUnreadable

_MAX_SEGMENTS: Final = 8192
_MAX_BOXES: Final = 1024
# JPEG frame headers (ITU T.81, table B.1): SOF0 to SOF15 without DHT, JPG and DAC.
_FRAME_HEADERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# MPEG audio (ISO/IEC 11172-3, 13818-3): kbit/s by bitrate index; Hz by rate index for MPEG-1.
_BITRATES_V1: Final = {
    3: (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_BITRATES_V2: Final = {
    3: (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    1: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_V1: Final = (44100, 48000, 32000)


def find_size(data: bytes, mime: str) -> tuple[int, int] | None:
    """(width, height) in pixels of a PNG, JPEG, GIF or WebP image; None for other types.

    Raises MediaUnreadable when the header is damaged.
    """
    readers = {"image/png": _png, "image/jpeg": _jpeg, "image/gif": _gif, "image/webp": _webp}
    if mime not in readers:
        return None
    try:
        width, height = readers[mime](data)
    except (struct.error, IndexError, ValueError):
        raise MediaUnreadable("The image cannot be read: its header is damaged.") from None
    if not width or not height:
        raise MediaUnreadable("The image cannot be read: it has no pixels.")
    return width, height


def check_pixels(data: bytes, mime: str, max_pixels: int) -> None:
    """Raise MediaTooLarge when an image has more pixels than allowed, MediaUnreadable when its header is damaged."""
    size = find_size(data, mime)
    if size is not None and size[0] * size[1] > max_pixels:
        raise MediaTooLarge(
            f"The image has {size[0]} × {size[1]} pixels; at most {max_pixels:,} pixels are allowed here.",
            details={"max_pixels": max_pixels, "width": size[0], "height": size[1]},
        )


def _png(data: bytes) -> tuple[int, int]:
    length, name, width, height = struct.unpack_from(">I4sII", data, 8)
    if length != 13 or name != b"IHDR":
        raise ValueError("IHDR is not first")
    return width, height


def _gif(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _jpeg(data: bytes) -> tuple[int, int]:
    at = 2
    for _segment in range(_MAX_SEGMENTS):
        if data[at] != 0xFF:
            raise ValueError("no marker")
        marker = data[at + 1]
        if marker == 0xFF:  # A fill byte.
            at += 1
        elif marker in _FRAME_HEADERS:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        elif marker in (0x01, 0xD8) or 0xD0 <= marker <= 0xD7:  # Markers without a length.
            at += 2
        else:
            at += 2 + max(2, struct.unpack_from(">H", data, at + 2)[0])
    raise ValueError("no frame header")


def _webp(data: bytes) -> tuple[int, int]:
    """RFC 9649: a lossy, a lossless or an extended first chunk."""
    chunk = data[12:16]
    if chunk == b"VP8 ":
        if data[23:26] != b"\x9d\x01\x2a":
            raise ValueError("no key frame")
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if chunk == b"VP8L" and data[20] == 0x2F:
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8X" and len(data) >= 30:
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    raise ValueError("unknown chunk")


def find_duration_ms(data: bytes, mime: str) -> int | None:
    """The length of sound or video in milliseconds, from its headers; None when they do not tell. Never raises.

    WAV, AIFF, FLAC, Ogg, MP4 and MOV are exact as far as their headers are; an MP3 without a frame count is estimated from
    its first frame. Headers may lie: fit for limits and estimates, not for money.
    """
    readers = {
        "audio/wav": _wav_s,
        "audio/aiff": _aiff_s,
        "audio/flac": _flac_s,
        "audio/ogg": _ogg_s,
        "audio/mpeg": _mpeg_s,
        "audio/mp4": _mp4_s,
        "video/mp4": _mp4_s,
        "video/quicktime": _mp4_s,
    }
    if mime not in readers:
        return None
    try:
        seconds = readers[mime](data)
    except (struct.error, IndexError, ValueError, ArithmeticError):
        return None
    return round(seconds * 1000) if 0 < seconds < 1e7 else None


def _chunks(data: bytes, order: str) -> Iterator[tuple[bytes, int, int]]:
    """(name, content's offset, stated size) of the chunks of a RIFF or FORM file."""
    at = 12
    for _chunk in range(_MAX_BOXES):
        if at + 8 > len(data):
            return
        name, size = struct.unpack_from(order + "4sI", data, at)
        yield name, at + 8, size
        at += 8 + size + size % 2


def _wav_s(data: bytes) -> float:
    bytes_per_s = 0
    for name, at, size in _chunks(data, "<"):
        if name == b"fmt ":
            bytes_per_s = struct.unpack_from("<I", data, at + 8)[0]
        if name == b"data":
            # Streamed files state 0 or the largest size: what is there counts.
            there = len(data) - at
            return (min(size, there) or there) / bytes_per_s
    raise ValueError("no data chunk")


def _aiff_s(data: bytes) -> float:
    for name, at, _size in _chunks(data, ">"):
        if name == b"COMM":
            frames = struct.unpack_from(">I", data, at + 2)[0]
            exponent, mantissa = struct.unpack_from(">HQ", data, at + 8)
            rate = mantissa * 2.0 ** ((exponent & 0x7FFF) - 16383 - 63)
            return float(frames / rate)
    raise ValueError("no COMM chunk")


def _flac_s(data: bytes) -> float:
    """RFC 9639: STREAMINFO comes first; 20 bits of rate, 36 bits of samples."""
    fields = int.from_bytes(data[18:26])
    return (fields & 0xFFFFFFFFF) / (fields >> 44)


def _ogg_s(data: bytes) -> float:
    """RFC 3533: the last page's granule position counts samples; Opus (RFC 7845) always at 48 kHz, less its pre-skip."""
    content = 27 + data[26]
    last = data.rindex(b"OggS")
    samples = struct.unpack_from("<q", data, last + 6)[0]
    if data[content : content + 8] == b"OpusHead":
        return float(samples - struct.unpack_from("<H", data, content + 10)[0]) / 48000
    if data[content : content + 7] == b"\x01vorbis":
        return float(samples / struct.unpack_from("<I", data, content + 12)[0])
    raise ValueError("unknown codec")


def _mp4_s(data: bytes) -> float:
    """ISO/IEC 14496-12: moov / mvhd."""
    moov = _find_box(data, b"moov", 0, len(data))
    mvhd, _end = _find_box(data, b"mvhd", *moov)
    if data[mvhd] == 1:
        scale, length = struct.unpack_from(">IQ", data, mvhd + 20)
    else:
        scale, length = struct.unpack_from(">II", data, mvhd + 12)
    return float(length / scale)


def _find_box(data: bytes, wanted: bytes, at: int, end: int) -> tuple[int, int]:
    """(start, end) of the content of a box; ValueError when it is not there."""
    for _box in range(_MAX_BOXES):
        size, name = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            size, head = struct.unpack_from(">Q", data, at + 8)[0], 16
        size = size or end - at
        if size < head:
            break
        if name == wanted:
            return at + head, min(end, at + size)
        at += size
    raise ValueError("no such box")


def _mpeg_s(data: bytes) -> float:
    at = _after_id3(data)
    head = struct.unpack_from(">I", data, at)[0]
    version, layer = head >> 19 & 3, head >> 17 & 3
    bitrate = (_BITRATES_V1 if version == 3 else _BITRATES_V2)[layer or 3][head >> 12 & 15] * 1000
    rate = _RATES_V1[head >> 10 & 3] >> {3: 0, 2: 1, 0: 2}.get(version, 0)
    if head >> 21 != 0x7FF or not layer or version == 1 or not bitrate:
        raise ValueError("no frame")
    per_frame = 384 if layer == 3 else 576 if layer == 1 and version != 3 else 1152
    # A variable-bitrate file's first frame counts the frames, within the space of its silent content.
    tag = max(data.find(b"Xing", at, at + 200), data.find(b"Info", at, at + 200))
    if tag >= 0 and data[tag + 7] & 1:
        return float(struct.unpack_from(">I", data, tag + 8)[0] * per_frame / rate)
    return (len(data) - at) * 8 / bitrate


def _after_id3(data: bytes) -> int:
    """The offset of the first frame behind an ID3v2 tag, whose size is four times seven bits."""
    if data[:3] != b"ID3":
        return 0
    size = 0
    for part in data[6:10]:
        size = size << 7 | part & 0x7F
    at = 10 + size
    return max(at, data.find(b"\xff", at, at + 4096))
