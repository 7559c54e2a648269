"""`python -m tests.browser.newcomer`: how long a newcomer needs from the clone to the first 200 from a curl that the browser showed."""

import argparse
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, Queue

from playwright.sync_api import Page

from tests.browser.chromium import Complaints, chromium, open_context

_ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"http://\S+/sign-in/\S+")
_WAIT_S = 900


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints each step with the seconds since the beginning; exits with 1 when the call fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.newcomer", description=__doc__)
    parser.add_argument("--port", type=int, default=8089)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "inferway")
        clock = _Clock()
        subprocess.run(["git", "clone", "--quiet", str(_ROOT), str(place)], check=True)
        clock.say("cloned")
        server = _start(place, asked.port)
        try:
            lines = _Lines(server)
            link = lines.find(_LINK)
            clock.say("`make run` has set everything up and answers")
            curl = _make_key(link)
            clock.say("signed in and made a key in the browser")
            status = _paste(curl)
            clock.say(f"the copied curl was answered with {status}")
        finally:
            os.killpg(server.pid, signal.SIGINT)
            server.wait(60)
    raise SystemExit(0 if status == "200" else 1)


class _Clock:
    def __init__(self) -> None:
        self._began = time.monotonic()

    def say(self, what: str) -> None:
        print(f"{time.monotonic() - self._began:7.1f} s  {what}", flush=True)


class _Lines:
    """What a process says, read beside."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._queue: Queue[str] = Queue()
        self._process = process
        threading.Thread(target=self._read, daemon=True).start()

    def find(self, pattern: "re.Pattern[str]") -> str:
        """The next text that a pattern finds."""
        deadline = time.monotonic() + _WAIT_S
        while time.monotonic() < deadline:
            try:
                found = pattern.search(self._queue.get(timeout=1))
            except Empty:
                if self._process.poll() is not None:
                    raise SystemExit("`make run` has ended") from None
                continue
            if found is not None:
                return found[0]
        raise SystemExit(f"`make run` has not said {pattern.pattern}")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._queue.put(line)


def _start(place: Path, port: int) -> "subprocess.Popen[str]":
    """`make run` as it stands, but for the port, in a group of processes of its own."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("INFERWAY_")}
    environ.pop("PYTHONPATH", None)
    return subprocess.Popen(
        ["make", "run", f"ARGS=--port {port}"],
        cwd=place,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _make_key(link: str) -> str:
    """Follows the link, makes a key under Organization Settings and copies the curl that is shown beside it."""
    with chromium() as browser:
        context = open_context(browser, link.partition("/sign-in")[0])
        page = context.new_page()
        complaints = Complaints(page)
        page.goto(link)
        page.get_by_role("button", name="Sign in").click()
        curl = _copy_curl(page)
        assert not complaints.of(page), complaints.of(page)
        context.close()
    return curl


def _copy_curl(page: Page) -> str:
    page.get_by_role("link", name="API keys", exact=True).click()
    page.get_by_role("link", name="New key").first.click()
    page.get_by_label("Name", exact=True).fill("my first program")
    page.get_by_role("button", name="Make the key").click()
    page.get_by_role("button", name="Copy the call").click()
    return str(page.evaluate("navigator.clipboard.readText()"))


def _paste(curl: str) -> str:
    """The status of the pasted call; a cold local model is still being fetched, and is waited for as the page says."""
    shell = shutil.which("bash")
    assert shell is not None
    deadline = time.monotonic() + _WAIT_S
    while True:
        done = subprocess.run(
            [shell, "-c", f"{curl} -o /dev/null -w '%{{http_code}}'"],
            capture_output=True,
            text=True,
            check=True,
            timeout=_WAIT_S,
        )
        status = done.stdout.strip()[-3:]
        if status != "503" or time.monotonic() > deadline:
            return status
        time.sleep(1)


if __name__ == "__main__":
    main()
