"""The cookie that says who is signed in: for this site only, out of reach of scripts."""

from starlette.requests import Request
from starlette.responses import Response

from inferway.access.records import Session
from inferway.http.strangers import Doorkeeper

_TOKEN_MAX = 64


class Cookies:
    """Writes and reads the cookie. `doorkeeper` knows the proxies whose X-Forwarded-Proto is believed."""

    def __init__(self, doorkeeper: Doorkeeper) -> None:
        self._doorkeeper = doorkeeper

    def read(self, request: Request) -> str:
        """The session's text, or nothing."""
        found = request.cookies.get(self._name(request), "")
        return found if len(found) <= _TOKEN_MAX and found.isascii() else ""

    def write(self, answer: Response, request: Request, token: str, session: Session) -> None:
        """Signs a browser in."""
        answer.set_cookie(
            self._name(request),
            token,
            expires=session.expires_at,
            path="/",
            secure=self._is_secure(request),
            httponly=True,
            samesite="lax",
        )

    def forget(self, answer: Response, request: Request) -> None:
        """Signs a browser out."""
        secure = self._is_secure(request)
        answer.delete_cookie(self._name(request), path="/", secure=secure, httponly=True, samesite="lax")

    def address_of(self, request: Request) -> str:
        """Where this server is, as the browser asked for it, such as `https://gateway.example.com`."""
        scheme = "https" if self._is_secure(request) else "http"
        return f"{scheme}://{request.headers.get('host', '')}"

    def _name(self, request: Request) -> str:
        """Cookies know no ports: two servers on one machine must not sign one another out."""
        if self._is_secure(request):
            return "__Host-inferway"
        return f"inferway-{request.url.port or 80}"

    def _is_secure(self, request: Request) -> bool:
        if request.url.scheme == "https":
            return True
        is_said = request.headers.get("x-forwarded-proto") == "https"
        return is_said and self._doorkeeper.trusts(request.scope.get("client"))
