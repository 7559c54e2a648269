"""What content is, by its own first bytes. Names, extensions and declared types are never asked."""

import re
from typing import Final

from inferway.media.refusals import MediaType
from inferway.types import MediaKind

# What each input takes. Containers of sound and pictures are taken for both: their first bytes do not tell what is inside.
ACCEPTED: Final = {
    MediaKind.IMAGE: ("image/png", "image/jpeg", "image/gif", "image/webp", "image/heic", "image/heif"),
    MediaKind.AUDIO: (
        "audio/wav",
        "audio/mpeg",
        "audio/flac",
        "audio/ogg",
        "audio/mp4",
        "audio/webm",
        "audio/aiff",
        "audio/aac",
        "video/mpeg",
    ),
    MediaKind.VIDEO: (
        "video/mp4",
        "video/quicktime",
        "video/webm",
        "video/x-matroska",
        "video/mpeg",
        "video/x-msvideo",
        "video/ogg",
        "video/x-flv",
        "video/x-ms-wmv",
    ),
    MediaKind.DOCUMENT: ("application/pdf",),
}
# The same container under the name that fits what it is wanted for.
_AS_AUDIO: Final = {"video/mp4": "audio/mp4", "video/webm": "audio/webm", "video/ogg": "audio/ogg"}
_AS_VIDEO: Final = {"audio/mp4": "video/mp4", "audio/ogg": "video/ogg"}

_FIXED: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"\0\0\1\0", "image/x-icon"),
    (b"%PDF-", "application/pdf"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
    (b"ADIF", "audio/aac"),
    (b"#!AMR", "audio/amr"),
    (b"\0\0\1\xba", "video/mpeg"),
    (b"\0\0\1\xb3", "video/mpeg"),
    (b"FLV\1", "video/x-flv"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-wmv"),
    (b"PK\3\4", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
)
# The first four bytes and the form behind the size, of RIFF and of its relatives.
_FORMS: Final = {
    (b"RIFF", b"WEBP"): "image/webp",
    (b"RIFF", b"AVI "): "video/x-msvideo",
    (b"RIFF", b"WAVE"): "audio/wav",
    (b"RF64", b"WAVE"): "audio/wav",
    (b"BW64", b"WAVE"): "audio/wav",
    (b"FORM", b"AIFF"): "audio/aiff",
    (b"FORM", b"AIFC"): "audio/aiff",
}
_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_HEIF_BRANDS: Final = frozenset({b"mif1", b"msf1"})
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_AUDIO_BRANDS: Final = frozenset({b"M4A ", b"M4B ", b"M4P ", b"F4A "})
# Lists of other addresses, which a decoder would follow; they also hide in the subtitles of an AVI.
_PLAYLISTS: Final = (b"#EXTM3U", b"ffconcat version", b"[playlist]", b"concat:")
_PLAYLIST_SCAN_BYTES: Final = 1024 * 1024
_MARKUP: Final = re.compile(rb"\s*<[!?a-zA-Z]")
_BOMS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def find_type(data: bytes) -> str | None:
    """The MIME type of content, from its first bytes (the first 64 are enough for media); None when unknown."""
    for magic, mime in _FIXED:
        if data.startswith(magic):
            return mime
    return _find_container(data) or _find_frames(data) or _find_text(data)


def _find_container(data: bytes) -> str | None:
    magic, form = data[:4], data[8:12]
    if magic == b"OggS":
        return "video/ogg" if b"\x80theora" in data[:256] else "audio/ogg"
    if magic == b"\x1a\x45\xdf\xa3":
        return "video/webm" if b"webm" in data[:64] else "video/x-matroska"
    if data[4:8] == b"ftyp":
        return _brand_type(data)
    if data[4:8] in (b"moov", b"mdat", b"wide") and len(data) > 16:
        return "video/quicktime"
    return _FORMS.get((magic, form))


def _brand_type(data: bytes) -> str:
    """The type of an ISO base media file (ISO/IEC 14496-12) by its major brand, then its compatible ones."""
    size = min(int.from_bytes(data[:4]), 256)
    compatible = {data[at : at + 4] for at in range(16, size - 3, 4)}
    for brands in ({data[8:12]}, compatible):
        if brands & _AVIF_BRANDS:
            return "image/avif"
        if brands & _HEIC_BRANDS:
            return "image/heic"
    if data[8:12] in _HEIF_BRANDS:
        return "image/heif"
    if data[8:12] in _AUDIO_BRANDS:
        return "audio/mp4"
    return "video/quicktime" if data[8:12] == b"qt  " else "video/mp4"


def _find_frames(data: bytes) -> str | None:
    """MPEG audio and ADTS start with a frame: eleven or twelve set bits, then fields with forbidden values."""
    if len(data) < 4 or data[0] != 0xFF:
        return None
    if data[1] & 0xF6 == 0xF0 and data[2] >> 2 & 0xF < 13:
        return "audio/aac"
    layer, bitrate, rate = data[1] >> 1 & 3, data[2] >> 4, data[2] >> 2 & 3
    version = data[1] >> 3 & 3
    if data[1] & 0xE0 == 0xE0 and version != 1 and layer != 0 and bitrate not in (0, 15) and rate != 3:
        return "audio/mpeg"
    return None


def _find_text(data: bytes) -> str | None:
    text = data
    for bom in _BOMS:
        text = text.removeprefix(bom)
    if text.lstrip().startswith(_PLAYLISTS):
        return "application/vnd.apple.mpegurl"
    # UTF-16 puts zeros between the letters.
    start = text[:1024].replace(b"\0", b"")
    if _MARKUP.match(start):
        return "image/svg+xml" if b"<svg" in start.lower() else "text/html"
    return None


def require_type(kind: MediaKind, data: bytes) -> str:
    """The MIME type of content that this kind of input takes; MediaType when it takes no such content."""
    mime = find_type(data)
    if kind is MediaKind.AUDIO and mime is not None:
        mime = _AS_AUDIO.get(mime, mime)
    if kind is MediaKind.VIDEO and mime is not None:
        mime = _AS_VIDEO.get(mime, mime)
    if mime not in ACCEPTED[kind]:
        found = f"it is {mime}" if mime else "its type is not recognised"
        raise MediaType(
            f"The content cannot be used as {kind}: {found} by its first bytes. Taken are {', '.join(ACCEPTED[kind])}.",
            details={"accepted": list(ACCEPTED[kind]), "found": mime},
        )
    if kind in (MediaKind.AUDIO, MediaKind.VIDEO) and _hides_playlist(data):
        raise MediaType(f"The content cannot be used as {kind}: it refers to other files.")
    return mime


def _hides_playlist(data: bytes) -> bool:
    start = data[:_PLAYLIST_SCAN_BYTES]
    return any(token in start for token in _PLAYLISTS)
