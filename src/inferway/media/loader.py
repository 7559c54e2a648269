"""Brings media into hand: from a URL, base64 or bytes to content with its true type."""

import asyncio
import ssl
from collections.abc import Sequence

from msgspec.structs import replace

from inferway.media.decode import decode_base64
from inferway.media.fetch import Dial, Fetcher, Wanted
from inferway.media.policy import MediaSettings
from inferway.media.probe import check_pixels
from inferway.media.refusals import MediaTooLarge, MediaUnreadable
from inferway.media.resolve import Resolver, SystemResolver
from inferway.media.sniff import require_type
from inferway.media.wire import too_large
from inferway.types import Media, MediaKind


class MediaLoader:
    """The one door for media of callers."""

    def __init__(
        self,
        settings: MediaSettings | None = None,
        *,
        resolver: Resolver | None = None,
        dial: Dial | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`resolver` and `dial` replace the machine's own, `tls` the trust made from `settings.ca_file`."""
        self._settings = settings or MediaSettings()
        self._system = SystemResolver()
        self._fetcher = Fetcher(self._settings, resolver=resolver or self._system, dial=dial, tls=tls)

    async def load(self, media: Media, *, deadline_s: float) -> Media:
        """The same media with content, its sniffed MIME type and no URL; `deadline_s` is what is left of the call, in seconds.

        Raises MediaUnavailable, MediaTooLarge, MediaType or MediaUnreadable (all 400), or Overloaded (503).
        """
        loaded = await self._take(media, deadline_s)
        data = loaded.as_bytes()
        mime = require_type(media.kind, data)
        if media.kind is MediaKind.IMAGE:
            check_pixels(data, mime, self._settings.max_pixels)
        return replace(loaded, mime=mime)

    async def load_all(self, items: Sequence[Media], *, deadline_s: float) -> tuple[Media, ...]:
        """Every item loaded, side by side, in order; the first failure ends the others. Raises what `load` raises."""
        if len(items) > self._settings.max_items:
            raise MediaTooLarge(
                f"At most {self._settings.max_items} pieces of media are allowed in one call.",
                details={"max_items": self._settings.max_items},
            )
        tasks = [asyncio.ensure_future(self.load(item, deadline_s=deadline_s)) for item in items]
        try:
            return tuple(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def check_url(self, url: str) -> None:
        """Judge a URL that a provider will fetch itself: its scheme, port and literal address. Raises MediaUnavailable."""
        self._fetcher.check(url)

    def close(self) -> None:
        """Let go of the resolver's threads."""
        self._system.close()

    async def _take(self, media: Media, deadline_s: float) -> Media:
        max_bytes = self._settings.max_bytes(media.kind)
        if media.data is not None:
            return _check_bytes(media, max_bytes)
        if media.base64 is not None:
            decoded = decode_base64(media.base64, max_bytes=max_bytes)
            return replace(media, url=None, base64=decoded.base64, data=decoded.data)
        if media.url is None:
            raise MediaUnreadable("The media is empty.")
        wanted = Wanted(
            media.url, max_bytes=max_bytes, check_head=lambda head: require_type(media.kind, head)
        )
        return replace(media, url=None, data=await self._fetcher.fetch(wanted, deadline_s=deadline_s))


def _check_bytes(media: Media, max_bytes: int) -> Media:
    if media.data is None or not media.data:
        raise MediaUnreadable("The media is empty.")
    if len(media.data) > max_bytes:
        raise too_large(max_bytes)
    return replace(media, url=None)
