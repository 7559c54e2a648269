"""Makes pages out of templates: everything that is filled in is text, never markup."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from importlib.resources import files
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import inferway
from inferway.http.dashboard.notices import NOTICES

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Only what this server sends is run, drawn or asked; nothing may stand in the page itself, and no site may frame it."""

_PACKAGE = "inferway.http.dashboard"
_KINDS = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_YEAR_S = 31_536_000


def page_headers(*, is_public: bool = False) -> dict[str, str]:
    """The headers of every page.

    What a stranger may see has nothing to keep from a window that opened it. Without that wall a browser shows it in the process at
    hand, and sooner.
    """
    wall = {} if is_public else {"cross-origin-opener-policy": "same-origin"}
    return wall | {
        "content-security-policy": POLICY,
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=(self)",
        "cache-control": "no-store",
    }


class Frame:
    """The templates and the files beside them; read when the first page is asked for."""

    def render(self, template: str, values: Mapping[str, Any]) -> str:
        """A page's text; raises `jinja2.UndefinedError` for a value that is not there."""
        return self._templates.get_template(template).render(**values)

    def routes(self) -> list[Route]:
        """Style sheets, scripts and pictures."""
        return [Route("/static/{version}/{name}", self.send_file)]

    async def send_file(self, request: Request) -> Response:
        """A file beside the templates; for ever, when the version is the one at hand.

        The version stands in the path, so that it also counts for the modules that a script imports by their names alone.
        """
        name = request.path_params["name"]
        found = self._files.get(name)
        if found is None:
            return Response("There is no such file.", 404, media_type="text/plain")
        is_exact = request.path_params["version"] == self._version
        age = f"public, max-age={_YEAR_S}, immutable" if is_exact else "no-cache"
        headers = {
            "cache-control": age,
            "x-content-type-options": "nosniff",
            "cross-origin-resource-policy": "same-origin",
        }
        return Response(found, headers=headers, media_type=_KINDS[name.rpartition(".")[2]])

    @cached_property
    def _templates(self) -> jinja2.Environment:
        made = jinja2.Environment(
            loader=jinja2.PackageLoader(_PACKAGE),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        made.globals |= {"asset": self._asset, "notices": NOTICES, "version": inferway.__version__}
        made.filters |= {
            "usd": usd,
            "short_usd": short_usd,
            "count": count,
            "compact": compact,
            "percent": percent,
            "milliseconds": milliseconds,
            "moment": moment,
        }
        return made

    @cached_property
    def _files(self) -> dict[str, bytes]:
        folder = files(_PACKAGE) / "static"
        return {
            each.name: each.read_bytes()
            for each in folder.iterdir()
            if each.name.rpartition(".")[2] in _KINDS
        }

    def _asset(self, name: str) -> str:
        """Where a file beside the templates is; raises `KeyError` when there is none."""
        if name not in self._files:
            raise KeyError(name)
        return f"/static/{self._version}/{name}"

    @cached_property
    def _version(self) -> str:
        """Of all files together."""
        told = hashlib.sha256()
        for name, content in sorted(self._files.items()):
            told.update(f"{name} {len(content)} ".encode() + content)
        return told.hexdigest()[:12]


def usd(amount: float | None) -> str:
    """Money to read: cents, or as many digits as small sums need; a dash for what has no price."""
    if amount is None:
        return "–"
    if amount == 0 or abs(amount) >= 1:
        return f"${amount:,.2f}"
    return f"${amount:.4f}" if abs(amount) >= 0.01 else f"${amount:.6f}"


def short_usd(amount: float | None) -> str:
    """Money that somebody chose, and beside an axis: no more digits than it takes."""
    whole, _, digits = usd(amount).partition(".")
    return f"{whole}.{digits.rstrip('0').ljust(2, '0')}" if digits else whole


def count(number: float | None) -> str:
    """A whole number with separators."""
    return "–" if number is None else f"{number:,.0f}"


def compact(number: float | None) -> str:
    """A number in little room: 950, 1.2k, 3.4M."""
    if number is None:
        return "–"
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.1f}".removesuffix(".0") + letter
    return f"{number:g}"


def percent(share: float | None) -> str:
    """A share from 0 to 1 in percent; what is not nothing is not told as 0."""
    if share is None:
        return "–"
    if share and share < 0.001:
        return "< 0.1 %"
    return f"{share * 100:.1f}".removesuffix(".0") + " %"


def milliseconds(value: float | None) -> str:
    """A duration: milliseconds, or seconds from ten of them on."""
    if value is None:
        return "–"
    return f"{value:,.0f} ms" if value < 10_000 else f"{value / 1000:,.1f} s"


def short_milliseconds(value: float | None) -> str:
    """A duration beside an axis, where half a millisecond may be a step: no more digits than it takes."""
    if value is None:
        return "–"
    return f"{value:g} ms" if value < 1000 else f"{value / 1000:,g} s"


def moment(value: str | datetime | None) -> str:
    """A moment in UTC, to the second."""
    if value is None:
        return "–"
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
