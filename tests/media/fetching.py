"""A loader whose every road leads to an origin on loopback."""

from inferway.media.loader import MediaLoader
from inferway.media.policy import MediaSettings
from inferway.types import Media, MediaKind
from tests.media import samples
from tests.media.origin import PUBLIC, Origin, Road, TableResolver

# No least time for a failure, so that hundreds of them take no time.
QUICK = MediaSettings(connect_timeout_s=0.9)
PNG = samples.png()


def make_loader(
    origin: Origin, settings: MediaSettings = QUICK, **names: list[list[str]]
) -> tuple[MediaLoader, TableResolver, Road]:
    """A loader for which `name` resolves to the given rows, else to a public address; every dial ends at the origin."""
    table = {"h.example": [[PUBLIC]], "other.example": [["8.8.8.8"]]}
    resolver = TableResolver(table | {name.replace("_", "."): rows for name, rows in names.items()})
    road = Road(origin.port)
    return MediaLoader(settings, resolver=resolver, dial=road), resolver, road


async def load(
    loader: MediaLoader, url: str, kind: MediaKind = MediaKind.IMAGE, deadline_s: float = 10
) -> Media:
    """Load one URL."""
    return await loader.load(Media(kind=kind, url=url), deadline_s=deadline_s)
