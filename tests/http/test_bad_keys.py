"""Floods of bad keys against a running server."""

import json
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from inferway.access.keys import mint_key
from tests.http.kit import Gateway, running

_FLOOD = 10_000
_GOOD_EVERY = 100
_FEW = {"INFERWAY_PROVIDERS__FAKE__ENABLED": "true", "INFERWAY_ACCESS__BAD_KEYS_BURST": "10"}


class _Flood:
    """One connection over which keys are tried, one after the other."""

    def __init__(self, gateway: Gateway) -> None:
        self._connection = HTTPConnection("127.0.0.1", gateway.port, timeout=30)

    def try_key(self, key: str, path: str = "/v1/inference") -> tuple[int, Any, str | None]:
        body = json.dumps({"provider": "fake", "model": "fake-chat", "inputs": {"prompts": ["hi"]}}).encode()
        headers = {
            "authorization": f"Bearer {key}",
            "x-namespace": "default",
            "content-type": "application/json",
        }
        if path == "/v1/inference":
            self._connection.request("POST", path, body, headers)
        else:
            self._connection.request("GET", path, None, headers)
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read()), answer.getheader("retry-after")

    def close(self) -> None:
        self._connection.close()


def _count_lookups(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the store's questions about keys, as they are asked."""
    directory, asked = gateway.app.directory, []

    def counted(name: str) -> None:
        real = getattr(directory, name)

        async def look(*values: Any) -> Any:
            asked.append(name)
            return await real(*values)

        monkeypatch.setattr(directory, name, look)

    for name in ("find_key", "list_digests"):
        counted(name)
    return asked


def test_ten_thousand_bad_keys_look_up_ten_and_harm_no_good_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path, **_FEW) as gateway:
        asked = _count_lookups(gateway, monkeypatch)
        flood, began = _Flood(gateway), time.monotonic()
        statuses: dict[int, int] = {}
        good = []
        for number in range(_FLOOD):
            status, body, hint = flood.try_key(mint_key())
            statuses[status] = statuses.get(status, 0) + 1
            if status == 429:
                assert (body["error"]["code"], hint is not None) == ("too_many_bad_keys", True)
            if number % _GOOD_EVERY == 0:
                good.append(flood.try_key(gateway.inference_key)[0])
        minutes = (time.monotonic() - began) / 60 + 1
        flood.close()
    assert set(good) == {200}
    assert set(statuses) == {401, 429}
    assert statuses[401] <= 10 * minutes + 1
    # One look-up for the good key, ten in each minute for the bad ones, and the list of keys once.
    assert asked.count("find_key") <= 1 + 10 * minutes
    assert asked.count("list_digests") == 1


def test_a_good_key_that_nobody_has_seen_yet_works_in_the_middle_of_a_flood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path, **_FEW) as gateway:
        asked = _count_lookups(gateway, monkeypatch)
        flood = _Flood(gateway)
        for _ in range(40):
            flood.try_key(mint_key())
        assert flood.try_key(mint_key())[0] == 429
        assert flood.try_key(gateway.inference_key)[0] == 200
        assert flood.try_key(gateway.admin_key, "/v1/me")[0] == 200
        assert flood.try_key(mint_key(), "/v1/me")[0] == 429
        assert asked.count("list_digests") == 1
        flood.close()


def test_typos_are_refused_without_a_look_up_and_throttled_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(
        tmp_path, INFERWAY_ACCESS__BAD_KEYS_PER_MINUTE="3", INFERWAY_ACCESS__BAD_KEYS_BURST="3"
    ) as gateway:
        asked = _count_lookups(gateway, monkeypatch)
        flood = _Flood(gateway)
        good = gateway.inference_key
        typo = good[:-1] + ("a" if good[-1] != "a" else "b")
        assert [flood.try_key(typo)[0] for _ in range(5)] == [401, 401, 401, 429, 429]
        assert not asked
        flood.close()


def test_behind_a_trusted_proxy_each_client_has_its_own_count(tmp_path: Path) -> None:
    environ = {
        "INFERWAY_ACCESS__BAD_KEYS_PER_MINUTE": "2",
        "INFERWAY_ACCESS__BAD_KEYS_BURST": "2",
        "INFERWAY_SERVER__TRUSTED_PROXIES": "127.0.0.1",
    }
    with running(tmp_path, **environ) as gateway:

        def attempt(client: str) -> int:
            headers = gateway.headers(x_forwarded_for=client) | {"authorization": f"Bearer {mint_key()}"}
            return gateway.request("POST", "/v1/inference", b"{}", headers).status

        assert [attempt("203.0.113.1") for _ in range(3)] == [401, 401, 429]
        assert [attempt("203.0.113.2") for _ in range(3)] == [401, 401, 429]
