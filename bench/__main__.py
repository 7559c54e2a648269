"""`make bench`: the gateway on one core, the load and a mock upstream on the other, beside its floor and its peers.

One interleaved run: every round measures every subject once, so that a busy moment of the machine meets all of them. Figures are medians
over rounds, with the lowest and the highest beside them.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.load import latencies_ms, saturate
from bench.machine import cpu_s, memory_mb, pin, throwaway_certificate
from bench.scenarios import Scenario, scenarios
from bench.subjects import (
    LOAD_CORE,
    Subject,
    ask_once,
    observed_by,
    start_gateway,
    start_litellm,
    start_nginx,
    start_sink,
    start_upstream,
    version_of,
)

Figures = dict[str, dict[str, list[float]]]
DELAYED_ACK_MS = (36.0, 48.0)


def main() -> None:
    """Measure and print; with --json also write everything to a file."""
    asked = _arguments()
    pin(LOAD_CORE)
    chosen = {name: scenario for name, scenario in scenarios().items() if name in asked.scenario}
    report: dict[str, Any] = {"machine": _machine(), "arguments": vars(asked) | {"json": str(asked.json)}}
    with (
        TemporaryDirectory(prefix="inferway-bench-") as place,
        _subjects(asked, chosen, Path(place)) as found,
    ):
        report["ready_s"] = {subject.name: round(subject.ready_s, 3) for subject in found[1:]}
        report["memory_mb_at_rest"] = _memory(found)
        for name, scenario in chosen.items():
            report[name] = _measure(found, name, scenario, asked, Path(place))
        report["memory_mb_after_load"] = _memory(found)
    _print_memory(report)
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=1, default=str) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument(
        "--scenario",
        action="append",
        choices=["chat", "embeddings", "vision"],
        help="default: chat; repeatable",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="of saturation, and of fixed rate, a round"
    )
    parser.add_argument("--rate", type=float, default=50.0, help="calls a second of the latency part")
    parser.add_argument("--tls", action="store_true", help="also a gateway whose upstream speaks TLS")
    parser.add_argument(
        "--observe",
        action="store_true",
        help="also a gateway without metrics, and one with call lines and traces on top",
    )
    parser.add_argument(
        "--python",
        type=Path,
        action="append",
        default=[],
        help="also a gateway run by this interpreter, which has inferway installed; repeatable",
    )
    parser.add_argument("--litellm", type=Path, default=Path(".venv-peers/bin/litellm"))
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    asked = parser.parse_args()
    asked.scenario = asked.scenario or ["chat"]
    return asked


def _machine() -> dict[str, Any]:
    versions = f"Python {platform.python_version()}, {platform.system()} {platform.release()}"
    return {"cores": os.cpu_count(), "software": versions, "date": time.strftime("%Y-%m-%d")}


@contextmanager
def _subjects(
    asked: argparse.Namespace, chosen: Mapping[str, Scenario], place: Path
) -> Iterator[list[Subject]]:
    """The upstream itself (first), nginx, the gateway and what else is there; all end with the block."""
    openai = {name: scenario.openai for name, scenario in chosen.items()}
    own = {name: scenario.gateway for name, scenario in chosen.items()}
    found: list[Subject] = []
    try:
        found.append(start_upstream(openai))
        upstream = found[0].port
        found += [s for s in (start_nginx(upstream, openai, place / "nginx"),) if s]
        found.append(start_gateway(upstream, own, place / "inferway"))
        for python in asked.python:
            found.append(
                start_gateway(upstream, own, place / f"inferway-{version_of(python)}", python=python)
            )
        secure = sink = None
        if asked.observe:
            sink = start_sink()
            found += [
                start_gateway(upstream, own, place / name, observed=variables)
                for name, variables in observed_by(sink.port).items()
            ]
        if asked.tls:
            ca, cert, key = throwaway_certificate(place)
            secure = start_upstream(openai, (cert, key))
            found.append(start_gateway(secure.port, own, place / "inferway-tls", ca))
        found += [s for s in (start_litellm(upstream, openai, place / "litellm", asked.litellm),) if s]
        for name in chosen:
            for subject in found:
                ask_once(subject, name)
        try:
            yield found
        finally:
            for beside in (each for each in (secure, sink) if each is not None):
                beside.stop()
    finally:
        for subject in reversed(found):
            subject.stop()


def _measure(
    found: list[Subject], name: str, scenario: Scenario, asked: argparse.Namespace, place: Path
) -> dict[str, Any]:
    figures: Figures = {subject.name: {} for subject in found}
    delayed = dict.fromkeys(figures, 0)
    rate = asked.rate if name == "chat" else min(asked.rate, 5.0)
    for subject in found[1:]:
        saturate(subject, name, 1.0, place)
    for number in range(asked.rounds):
        print(f"\r{name}: round {number + 1} of {asked.rounds} ", end="", file=sys.stderr, flush=True)
        for subject in found:
            of = figures[subject.name]
            if subject is not found[0]:
                _saturate(subject, name, asked.seconds, place, of)
            times = latencies_ms(subject, name, rate, asked.seconds)
            delayed[subject.name] += sum(DELAYED_ACK_MS[0] <= t <= DELAYED_ACK_MS[1] for t in times)
            of.setdefault("p50_ms", []).append(statistics.median(times))
            of.setdefault("p99_ms", []).append(statistics.quantiles(times, n=100, method="inclusive")[98])
    print("\r", end="", file=sys.stderr)
    _compare(figures)
    _print_scenario(name, scenario, figures, delayed, rate)
    return {
        "rounds": figures,
        "answers_in_36_to_48_ms": delayed,
        "rate": rate,
        "megabytes": scenario.megabytes,
    }


def _saturate(subject: Subject, name: str, seconds: float, place: Path, of: dict[str, list[float]]) -> None:
    before = cpu_s(subject.process.pid)
    done = saturate(subject, name, seconds, place)
    if done.errors or not done.requests:
        raise RuntimeError(f"{subject.name}: {done.errors} of {done.requests} calls failed")
    # Calls that were cut off at the end of the time have cost something too: at most one a connection.
    spent = cpu_s(subject.process.pid) - before
    of.setdefault("requests_per_s", []).append(done.requests / done.seconds)
    of.setdefault("cpu_us", []).append(spent / done.requests * 1e6)


def _compare(figures: Figures) -> None:
    """Add what is relative to the upstream alone, and to nginx, round by round."""
    direct = figures["direct"]
    floor = figures.get("nginx", {}).get("cpu_us")
    for name, of in figures.items():
        if name == "direct":
            continue
        for which in ("p50", "p99"):
            pairs = zip(of[f"{which}_ms"], direct[f"{which}_ms"], strict=True)
            of[f"added_{which}_ms"] = [through - alone for through, alone in pairs]
        if floor:
            of["cpu_times_nginx"] = [cpu / least for cpu, least in zip(of["cpu_us"], floor, strict=True)]


def _print_scenario(
    name: str, scenario: Scenario, figures: Figures, delayed: Mapping[str, int], rate: float
) -> None:
    rows = (
        ("requests_per_s", "requests a second, saturated", "{:,.0f}"),
        ("cpu_us", "CPU a request, µs", "{:,.0f}"),
        ("cpu_times_nginx", "CPU, times nginx", "{:.2f}"),
        ("p50_ms", f"p50 at {rate:g}/s, ms", "{:.2f}"),
        ("p99_ms", f"p99 at {rate:g}/s, ms", "{:.2f}"),
        ("added_p50_ms", "p50 added, ms", "{:.2f}"),
        ("added_p99_ms", "p99 added, ms", "{:.2f}"),
    )
    print(f"\n{name}: median (lowest to highest) of {len(figures['direct']['p50_ms'])} rounds")
    print(" " * 30 + "".join(f"{subject:>26}" for subject in figures))
    for key, title, form in rows:
        cells = "".join(f"{_cell(of.get(key), form):>26}" for of in figures.values())
        print(f"{title:<30}{cells}")
    if scenario.megabytes:
        per_mb = (
            _cell([v / scenario.megabytes for v in of.get("cpu_us", [])], "{:,.0f}")
            for of in figures.values()
        )
        print(f"{'CPU a MB, µs':<30}" + "".join(f"{cell:>26}" for cell in per_mb))
    print(f"{'answers in 36 to 48 ms':<30}" + "".join(f"{delayed[subject]:>26}" for subject in figures))


def _cell(values: list[float] | None, form: str) -> str:
    if not values:
        return "-"
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{form.format(middle)} ({form.format(low)}–{form.format(high)})"


def _memory(found: list[Subject]) -> dict[str, dict[str, float]]:
    told = {}
    for subject in found[1:]:
        rss, pss = memory_mb(subject.process.pid)
        told[subject.name] = {"rss": round(rss, 1), "pss": round(pss, 1)}
    return told


def _print_memory(report: Mapping[str, Any]) -> None:
    print("\nmemory of the process tree, MB (RSS / PSS)")
    for name, at_rest in report["memory_mb_at_rest"].items():
        after = report["memory_mb_after_load"][name]
        ready_s = report["ready_s"][name]
        print(
            f"  {name:<14} at rest {at_rest['rss']:.0f} / {at_rest['pss']:.0f}, "
            f"after load {after['rss']:.0f} / {after['pss']:.0f}; listening after {ready_s:.2f} s"
        )


if __name__ == "__main__":
    main()
