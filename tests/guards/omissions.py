"""Says loudly what a run left out and why; with INFERWAY_TEST_STRICT=1 whatever is left out is a failure."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.browser.program import find_chromium
from tests.openapi.program import MAKE, find_schemathesis

STRICT = "INFERWAY_TEST_STRICT"
RECORDINGS = "INFERWAY_TEST_RECORDINGS"
LOCAL_MODELS = "INFERWAY_TEST_LOCAL_MODELS"
BROWSER = "INFERWAY_TEST_BROWSER"
DOCS_ENVIRONMENT = "INFERWAY_TEST_DOCS_ENVIRONMENT"


class Suite(NamedTuple):
    """A marker of tests that need more than a checkout: when they can run, and what to do so that they can."""

    marker: str
    is_possible: Callable[[], bool]
    remedy: str


def is_strict() -> bool:
    """Tell whether nothing may be left out."""
    return os.environ.get(STRICT) == "1"


def docs_environment() -> Path:
    """Where Sphinx is installed, unless a variable says so: beside the checkout's other environments."""
    return Path(os.environ.get(DOCS_ENVIRONMENT) or Path(__file__).parents[2] / ".venv-docs")


SUITES = (
    Suite(
        "recordings",
        lambda: Path(os.environ.get(RECORDINGS) or "/nonexistent").is_dir(),
        f"needs recorded exchanges: set {RECORDINGS} to their folder",
    ),
    Suite(
        "local_models",
        lambda: is_strict() or os.environ.get(LOCAL_MODELS) == "1",
        f"runs embedded models, about 200 MB at first: set {LOCAL_MODELS}=1",
    ),
    Suite(
        "chromium",
        lambda: (is_strict() or os.environ.get(BROWSER) == "1") and find_chromium() is not None,
        f"drives a real browser for minutes: install the package chromium and set {BROWSER}=1",
    ),
    Suite(
        "site",
        (docs_environment() / "bin" / "python").exists,
        "needs the environment of the documentation: make .venv-docs/packages",
    ),
    Suite(
        "schemathesis",
        lambda: find_schemathesis() is not None,
        f"fuzzes the API by its own description: {MAKE}",
    ),
    Suite(
        "nginx", lambda: shutil.which("nginx") is not None, "needs nginx: install the package of that name"
    ),
)

_omitted = pytest.StashKey[Counter[tuple[str, str]]]()
_OUTPUT = "omitted"


def pytest_configure(config: pytest.Config) -> None:
    """Start an empty list of what is left out."""
    config.stash[_omitted] = Counter()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the suites that cannot run here, each with what to do about it."""
    for suite in SUITES:
        if suite.is_possible():
            continue
        for item in items:
            if item.get_closest_marker(suite.marker):
                item.add_marker(pytest.mark.skip(reason=suite.remedy))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note a skipped test."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        _note(item.config, report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Note a module that skipped itself whole."""
    report = yield
    if report.skipped:
        _note(collector.config, report)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand on what one of several processes left out."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_OUTPUT] = [
            [place, reason, count] for (place, reason), count in session.config.stash[_omitted].items()
        ]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Gather what the processes left out. A test runs in one of them; a module that skips itself does so in each, and counts once."""
    omitted = node.config.stash[_omitted]
    for place, reason, count in getattr(node, "workeroutput", {}).get(_OUTPUT, ()):
        is_module = "::" not in place
        omitted[place, reason] = 1 if is_module else omitted[place, reason] + count


def _note(config: pytest.Config, report: pytest.TestReport | pytest.CollectReport) -> None:
    place = report.nodeid.partition("[")[0]
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    config.stash[_omitted][place, reason] += 1
    if is_strict():
        report.outcome = "failed"
        report.longrepr = f"left out although {STRICT}=1: {reason}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """List each omission with its reason, above the closing line."""
    omitted = config.stash[_omitted]
    if not omitted:
        terminalreporter.write_line("Nothing was left out.", green=True)
        return
    terminalreporter.section(f"LEFT OUT: {omitted.total()}", sep="!", yellow=True, bold=True)
    for (place, reason), count in sorted(omitted.items()):
        times = f" ({count} cases)" if count > 1 else ""
        terminalreporter.write_line(f"{place}{times}: {reason}")
