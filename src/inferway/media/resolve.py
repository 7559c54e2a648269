"""Names to addresses, in threads of its own, so that slow names of strangers delay nobody else's look-ups."""

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

_THREADS = 16


class Resolver(Protocol):
    """Turns a name into addresses."""

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """Every IPv4 and IPv6 address of `host` as text, in the order to try them; OSError when there is none."""
        ...


class SystemResolver:
    """The machine's own resolver. A look-up that is given up still holds its thread until the system ends it."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """See `Resolver`."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="media-dns")
        return await asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host, port)

    def close(self) -> None:
        """Let the threads end once they are idle."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None


def _look_up(host: str, port: int) -> list[str]:
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except UnicodeError as error:
        raise OSError(
            f"not a name: {error.reason if isinstance(error, UnicodeEncodeError) else error}"
        ) from None
    return [str(sockaddr[0]) for _family, _type, _proto, _name, sockaddr in answers]
