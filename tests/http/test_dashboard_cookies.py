"""The cookie of a session behind a TLS proxy, and without one."""

from pathlib import Path

import pytest

from inferway.app.dashboard import sign_in_link
from tests.http.browsing import Browser
from tests.http.kit import running


@pytest.mark.parametrize(("proxies", "is_secure"), [("127.0.0.1", True), ("", False)])
def test_the_cookie_is_for_tls_alone_where_a_trusted_proxy_says_so(
    tmp_path: Path,
    proxies: str,
    is_secure: bool,  # noqa: FBT001 - a parameter
) -> None:
    with running(tmp_path, INFERWAY_SERVER__TRUSTED_PROXIES=proxies) as gateway:
        link = sign_in_link(gateway.app.settings, "")
        answer = Browser(gateway).post(link, {}, x_forwarded_proto="https")
    cookie = answer.headers["set-cookie"]
    assert answer.status == 303
    assert cookie.startswith("__Host-inferway=") is is_secure
    assert ("; Secure" in cookie) is is_secure
