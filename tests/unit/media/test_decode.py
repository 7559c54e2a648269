"""Media inside the request: base64 and data URLs."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway.errors import CallerError
from inferway.media.decode import decode_base64
from inferway.media.loader import MediaLoader
from inferway.media.policy import MediaSettings
from inferway.media.refusals import MediaTooLarge, MediaType, MediaUnreadable
from inferway.types import Media, MediaKind
from tests.media import samples

PNG = samples.png()
TEXT = base64.b64encode(PNG).decode()
# Its base64 has both letters in which the alphabets differ, and padding.
ODD = b"\xfb\xff\xfe" * 3 + b"\xfb"


@pytest.mark.parametrize(
    "form",
    [
        TEXT,
        TEXT.rstrip("="),
        f"  {TEXT}\n",
        "\r\n".join(TEXT[at : at + 76] for at in range(0, len(TEXT), 76)),
        f"data:image/png;base64,{TEXT}",
        f"DATA:image/jpeg;name=x.jpg;BASE64,{TEXT}",
        f"data:;base64,{TEXT}",
        f"data:;base64,\n{TEXT}",
    ],
)
def test_every_usual_form_of_base64_is_taken_and_given_back_standard(form: str) -> None:
    decoded = decode_base64(form, max_bytes=10_000)
    assert (decoded.data, decoded.base64) == (PNG, TEXT)


def test_the_url_safe_alphabet_is_taken() -> None:
    decoded = decode_base64(base64.urlsafe_b64encode(ODD).decode().rstrip("="), max_bytes=100)
    assert (decoded.data, decoded.base64) == (ODD, base64.b64encode(ODD).decode())


def test_unused_bits_at_the_end_come_out_zero() -> None:
    assert decode_base64("QUJ=", max_bytes=100).base64 == "QUI="
    assert decode_base64("QR==", max_bytes=100).base64 == "QQ=="


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "data:image/png;base64,",
        "not base64!",
        "QUJD\0",
        "QUJDR",
        "QU=JD",
        "QUJD=",
        "QUJD====",
        "=QUJD",
        "-_+/",
        "data:image/svg+xml,<svg/>",
        "data:image/png,QUJD",
        "data:image/png;base64;x=QUJD",
        "data:image/png;base64,QUJD%3D",
        "\u0430QUJ",
        "\ud800",
        "https://h.example/a.png",
    ],
)
def test_what_is_not_base64_is_refused(text: str) -> None:
    with pytest.raises(MediaUnreadable) as refused:
        decode_base64(text, max_bytes=10_000)
    assert (refused.value.status, refused.value.code) == (400, "media_unreadable")


def test_the_cap_is_on_content_not_on_text() -> None:
    text = base64.b64encode(b"x" * 1000).decode()
    assert decode_base64(text, max_bytes=1000).data == b"x" * 1000
    assert decode_base64(" ".join(text), max_bytes=1000).data == b"x" * 1000
    for more in (text + "eHh4", " " * 10_000 + text):
        with pytest.raises(MediaTooLarge):
            decode_base64(more, max_bytes=1000)


@given(st.binary(min_size=1, max_size=200))
def test_base64_comes_back_as_it_went_in(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    decoded = decode_base64(text, max_bytes=200)
    assert (decoded.data, decoded.base64) == (data, text)


@given(st.text(alphabet="ABcd01+/-_= \n,;:data") | st.text())
def test_any_text_is_content_or_a_refusal(text: str) -> None:
    try:
        decoded = decode_base64(text, max_bytes=100)
    except CallerError:
        return
    assert base64.b64decode(decoded.base64, validate=True) == decoded.data
    assert base64.b64encode(decoded.data).decode() == decoded.base64


async def _load(media: Media) -> Media:
    return await MediaLoader(MediaSettings(max_image_bytes=100)).load(media, deadline_s=1)


async def test_the_true_type_wins_over_the_declared_one() -> None:
    loaded = await _load(
        Media(kind=MediaKind.IMAGE, base64=f"data:image/gif;base64,{TEXT}", mime="image/gif")
    )
    assert loaded == Media(kind=MediaKind.IMAGE, base64=TEXT, data=PNG, mime="image/png")


async def test_bytes_are_typed_and_bounded_too() -> None:
    assert (await _load(Media(kind=MediaKind.IMAGE, data=PNG))).mime == "image/png"
    with pytest.raises(MediaTooLarge):
        await _load(Media(kind=MediaKind.IMAGE, data=PNG.ljust(101, b"\0")))
    for empty in (Media(kind=MediaKind.IMAGE, data=b""), Media(kind=MediaKind.IMAGE)):
        with pytest.raises(MediaUnreadable):
            await _load(empty)


async def test_svg_in_base64_is_refused() -> None:
    text = base64.b64encode(samples.SVG).decode()
    with pytest.raises(MediaType):
        await _load(Media(kind=MediaKind.IMAGE, base64=f"data:image/png;base64,{text}"))
