"""Small true files of each kind, made here byte by byte."""

import struct
import wave
import zlib
from io import BytesIO


def png(width: int = 2, height: int = 2) -> bytes:
    """A PNG header that states these pixels, with one empty IDAT."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * (width * 3 + 1) * height if width * height < 100 else b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def jpeg(width: int = 2, height: int = 3) -> bytes:
    """SOI, an application segment, a fill byte, a frame header and EOI."""
    frame = struct.pack(">HBHHB", 8, 8, height, width, 0)
    return b"\xff\xd8\xff\xe0\x00\x04ab\xff\xff\xc2" + frame + b"\xff\xd9"


def gif(width: int = 2, height: int = 2) -> bytes:
    """A GIF header."""
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0;"


def webp(form: str = "VP8X", width: int = 7, height: int = 5) -> bytes:
    """The first chunk of a WebP of each form."""
    if form == "VP8X":
        data = b"\0\0\0\0" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    elif form == "VP8L":
        data = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14)
    else:
        data = b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height)
    chunk = form.encode().ljust(4) + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def wav(seconds: float = 1.0, rate: int = 8000) -> bytes:
    """Silence."""
    out = BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(b"\0\0" * int(seconds * rate))
    return out.getvalue()


def aiff(seconds: int = 3, rate: int = 8000) -> bytes:
    """A COMM chunk; the rate is an 80-bit float."""
    shift = 63 - (rate.bit_length() - 1)
    comm = struct.pack(">hIhHQ", 1, seconds * rate, 16, 16383 + rate.bit_length() - 1, rate << shift)
    return b"FORM" + struct.pack(">I", 30) + b"AIFF" + b"COMM" + struct.pack(">I", 18) + comm


def flac(seconds: int = 4, rate: int = 44100) -> bytes:
    """STREAMINFO only."""
    fields = (rate << 44 | 1 << 36 | seconds * rate).to_bytes(8)
    return b"fLaC\x80\0\0\x22" + b"\0" * 10 + fields + b"\0" * 16


def ogg_opus(seconds: int = 5) -> bytes:
    """A first page with OpusHead and a last page with the sample count."""

    def page(position: int, content: bytes) -> bytes:
        return (
            b"OggS\0\0" + struct.pack("<q", position) + b"\0" * 12 + b"\x01" + bytes([len(content)]) + content
        )

    head = b"OpusHead\x01\x01" + struct.pack("<H", 312) + b"\0" * 7
    return page(0, head) + page(seconds * 48000 + 312, b"x")


def mp4(seconds: int = 6, brand: bytes = b"isom", version: int = 0) -> bytes:
    """ftyp, mdat, moov/mvhd."""

    def box(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", 8 + len(content)) + name + content

    times = (
        struct.pack(">IIIII", 0, 0, 0, 1000, seconds * 1000)
        if version == 0
        else struct.pack(">IQQIQ", 1 << 24, 0, 0, 1000, seconds * 1000)
    )
    return (
        box(b"ftyp", brand + b"\0\0\0\0" + b"isom") + box(b"mdat", b"abc") + box(b"moov", box(b"mvhd", times))
    )


def mp3(frames: int = 10, *, xing: int | None = None, id3: bool = False) -> bytes:
    """MPEG-1 layer III frames of 128 kbit/s at 44.1 kHz (417 bytes); `xing` frames stated in the first one."""
    frame = b"\xff\xfb\x90\x00" + b"\0" * 413
    first = frame if xing is None else frame[:36] + b"Xing" + struct.pack(">II", 1, xing) + frame[48:]
    tag = b"ID3\x04\0\0\0\0\x01\x00" + b"t" * 128 if id3 else b""
    return tag + first + frame * (frames - 1)


PDF = b"%PDF-1.7\n%\xe2\xe3\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF"
SVG = b'\xef\xbb\xbf<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>'
WEBM = b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm"
AVI = b"RIFF\x24\0\0\0AVI LIST"
HLS = b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\nhttp://127.0.0.1/\n"
