"""What a batch has come to so far, and how that is told."""

import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from inferway.cli.answers import plain
from inferway.cli.batching.told import Told
from inferway.usage.rollups import bucket_of, percentile_ms

_LINES_TOLD = 10


class Tally:
    """Counts the lines of the output, those of earlier runs with the rest; money is exact."""

    def __init__(self, total: int | None = None) -> None:
        self.total = total
        self.answered = self.failed = self.partial = self.unpriced = 0
        self.earlier = self.without_key = 0
        self.cost_usd = Decimal(0)
        self.tokens: Counter[str] = Counter()
        self._histogram: dict[int, int] = {}
        self._errors: dict[tuple[int | None, str], list[Any]] = {}
        self._began = time.monotonic()

    def begin(self) -> None:
        """What is there was counted, and the calls begin: from here on time and speed are measured."""
        self.earlier = self.done
        self._began = time.monotonic()

    @property
    def done(self) -> int:
        """Lines of the output."""
        return self.answered + self.failed

    @property
    def took_s(self) -> float:
        """Seconds since this run began."""
        return time.monotonic() - self._began

    @property
    def per_s(self) -> float:
        """Lines a second, of this run."""
        return (self.done - self.earlier) / max(self.took_s, 0.001)

    def add(self, told: Told) -> None:
        """One more line of the output."""
        if not told.is_answered or told.body is None:
            self._add_failure(told)
            return
        self.answered += 1
        self.partial += told.body.is_partial
        self.tokens.update(told.body.tokens_used or {})
        if told.body.cost_usd is None:
            self.unpriced += 1
        else:
            self.cost_usd += told.body.cost_usd
        bucket = bucket_of(told.body.latency_ms)
        self._histogram[bucket] = self._histogram.get(bucket, 0) + 1

    def _add_failure(self, told: Told) -> None:
        self.failed += 1
        error = told.error
        name = (error and (error.code or error.type)) or "unknown"
        found = self._errors.setdefault((told.status, name), [0, [], error.message if error else ""])
        found[0] += 1
        if len(found[1]) < _LINES_TOLD:
            found[1].append(told.line)

    def summary(self) -> dict[str, Any]:
        """For programs: counts of the whole output, `per_s` and `took_s` of this run; latencies as the server took them."""
        return {
            "lines": self.total,
            "answered": self.answered,
            "failed": self.failed,
            "left": None if self.total is None else self.total - self.done,
            "earlier": self.earlier,
            "partial": self.partial,
            "errors": list(self._told_errors()),
            "tokens": {
                name: self.tokens[name] for name in sorted({*self.tokens, "prompt", "completion", "total"})
            },
            "cost_usd": float(self.cost_usd),
            "unpriced": self.unpriced,
            "latency_ms": {f"p{each}": percentile_ms(self._histogram, each / 100) for each in (50, 95)},
            "took_s": round(self.took_s, 3),
            "per_s": round(self.per_s, 3),
            "without_idempotency_key": self.without_key,
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        total = "" if self.total is None else f" of {self.total:,}"
        left = (
            f", {self.total - self.done:,} left" if self.total is not None and self.total > self.done else ""
        )
        earlier = f", {self.earlier:,} were there before" if self.earlier else ""
        yield f"{self.answered:,}{total} answered, {self.failed:,} failed{left}{earlier}"
        yield f"  time     {self.took_s:.1f} s, {self.per_s:.1f} a second"
        tokens = self.tokens
        yield f"  tokens   {tokens['total']:,} (prompt {tokens['prompt']:,}, completion {tokens['completion']:,})"
        unpriced = f", without {self.unpriced:,} answers whose price is not known" if self.unpriced else ""
        yield f"  cost     {dollars(self.cost_usd)}{unpriced}"
        p50, p95 = (percentile_ms(self._histogram, share) for share in (0.5, 0.95))
        if p50 is not None and p95 is not None:
            yield f"  latency  p50 {p50:,.0f} ms, p95 {p95:,.0f} ms"
        if self.partial:
            yield f"  partial  {self.partial:,} answers in which one of several prompts failed"
        for each in self._told_errors():
            yield _error_line(each)

    def _told_errors(self) -> Iterator[dict[str, Any]]:
        ranked = sorted(self._errors.items(), key=lambda each: -each[1][0])
        for (status, name), (count, lines, message) in ranked:
            yield {"status": status, "error": name, "count": count, "lines": lines, "message": message}


def dollars(amount: Decimal) -> str:
    """Money for people: all of it, however small."""
    places = 6 if 0 < amount < 1 else 4 if 0 < amount < 100 else 2
    return f"${amount:,.{places}f}"


def _error_line(each: dict[str, Any]) -> str:
    lines = ", ".join(map(str, each["lines"])) + (", ..." if each["count"] > len(each["lines"]) else "")
    place = f"{'line' if each['count'] == 1 else 'lines'} {lines}"
    status = "" if each["status"] is None else f"{each['status']} "
    return plain(
        f"  failed   {each['count']:,} x {status}{each['error']} ({place}): {each['message']}".replace(
            "\n", " "
        )
    )
