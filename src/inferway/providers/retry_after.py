"""How long a provider asks us to wait, read from `retry-after-ms` and `retry-after` in every form seen in the wild."""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_NUMBER = re.compile(r"\+?[0-9]{1,20}(?:\.[0-9]{0,20})?(?:[eE][+-]?[0-9]{1,4})?", re.ASCII)
_HTTP_DATE = re.compile(
    r"[A-Za-z]{3,9},? [0-9A-Za-z -]{5,12}[0-9]{2}:[0-9]{2}:[0-9]{2}(?: GMT| UTC| [0-9]{4})?", re.ASCII
)
_LONGEST_HEADER = 512


def find_retry_after_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds to wait, or None when there is no usable hint.

    Header names are lower case, repeated headers joined by ", ". `retry-after-ms` is preferred, as the provider's own SDKs do. Of several
    values the longest counts. Negative, infinite and unreadable values are no hint; a date in the past is 0. A date counts
    from the answer's own `date` header, so that a wrong clock on either side does no harm; without one from `now`
    (aware; default: the clock).
    """
    milliseconds = max(_numbers(headers.get("retry-after-ms", "")), default=None)
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after", "")[:_LONGEST_HEADER]
    waits = [*_numbers(_HTTP_DATE.sub("", text)), *_waits_until(text, headers, now)]
    return max(waits, default=None)


def _numbers(text: str) -> Iterator[float]:
    for piece in text[:_LONGEST_HEADER].split(","):
        if _NUMBER.fullmatch(piece.strip()):
            number = float(piece)
            if math.isfinite(number):
                yield number


def _waits_until(text: str, headers: Mapping[str, str], now: datetime | None) -> Iterator[float]:
    dates = [date for date in map(_find_date, _HTTP_DATE.findall(text)) if date is not None]
    if not dates:
        return
    base = _find_date(headers.get("date", "")) or now or datetime.now(UTC)
    for date in dates:
        yield max(0.0, (date - base).total_seconds())


def _find_date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text.strip())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
