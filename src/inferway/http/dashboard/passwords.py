"""Keeps who tries passwords from trying many."""

from starlette.requests import Request

from inferway.errors import TooManyRequests
from inferway.http.strangers import CountsStrangers, Doorkeeper


class Passwords:
    """Counts attempts with passwords, by address and by email."""

    def __init__(self, counter: CountsStrangers, doorkeeper: Doorkeeper) -> None:
        self._counter, self._doorkeeper = counter, doorkeeper

    def require_calm(self, request: Request, email: str) -> None:
        """Counts an attempt before it is looked at; raises `TooManyRequests`."""
        address = self._doorkeeper.address_of(request.scope.get("client"), forwarded_of(request))
        for who in (address, f"email {email.lower()[:254]}"):
            refusal = self._counter.find_refusal(who)
            if refusal is not None:
                wait_s = refusal.retry_after_s
                raise TooManyRequests(
                    f"Too many attempts: try again in {wait_s:.0f} seconds."
                    if wait_s
                    else "Too many attempts.",
                    code="too_many_passwords",
                    retry_after_s=wait_s,
                )


def forwarded_of(request: Request) -> bytes | None:
    """The X-Forwarded-For header."""
    given = request.headers.get("x-forwarded-for")
    return None if given is None else given.encode("latin-1")
