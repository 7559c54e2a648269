"""A browser of few words: keeps the cookie, finds the token of forms, and sends them as a browser would."""

import re
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from inferway.app.dashboard import sign_in_link
from tests.http.kit import Answered, Gateway

_TOKEN = re.compile(r'name="csrf" value="([0-9a-f]{64})"')


class Browser:
    """Somebody at the dashboard of a gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.cookie = ""

    def get(self, path: str) -> Answered:
        return self._keep(self._gateway.request("GET", path, None, self._headers()))

    def post(self, path: str, fields: dict[str, str] | list[tuple[str, str]], **headers: str) -> Answered:
        """Sends a form as it stands: without the session's token unless it is among the fields."""
        sent = self._headers() | {
            "content-type": "application/x-www-form-urlencoded",
            "sec-fetch-site": "same-origin",
        }
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self._keep(self._gateway.request("POST", path, urlencode(fields).encode(), sent))

    def submit(self, path: str, *fields: tuple[str, str], **named: str) -> Answered:
        """Sends a form with the session's token."""
        return self.post(path, [("csrf", self.token()), *fields, *named.items()])

    def token(self) -> str:
        """The session's token, from the first page."""
        found = _TOKEN.search(self.get("/").body.decode())
        assert found is not None
        return found[1]

    def sign_in(self, email: str | None = None) -> "Browser":
        """By a one-time link."""
        link = sign_in_link(self._gateway.app.settings, "", email)
        assert self.post(link, {}).status == 303
        return self

    def _headers(self) -> dict[str, str]:
        return {"accept": "text/html"} | ({"cookie": self.cookie} if self.cookie else {})

    def _keep(self, answer: Answered) -> Answered:
        given = answer.headers.get("set-cookie")
        if given is not None:
            (morsel,) = SimpleCookie(given).values()
            self.cookie = f"{morsel.key}={morsel.value}" if morsel.value else ""
        return answer
