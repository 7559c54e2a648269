"""Which server a verb calls, and with which key: the settings', else the data folder's own."""

from inferway.access.credentials import FILE_NAME, find_credentials
from inferway.cli.running import find_running
from inferway.client.requests import Address
from inferway.errors import OperatorError
from inferway.settings import Settings


def find_server(settings: Settings, namespace: str | None = None) -> Address:
    """The settings' server, else the one of the data folder; its key is given or in the credentials file. Raises `OperatorError`."""
    chosen = settings.client
    running = find_running(settings.data_dir) if chosen.url is None else None
    url = chosen.url or (running.url if running else f"http://127.0.0.1:{settings.server.port}")
    credentials = find_credentials(settings.data_dir / FILE_NAME)
    key = chosen.api_key.reveal() if chosen.api_key else credentials and credentials.inference_key
    if not key:
        raise OperatorError(
            f"There is no key in {settings.data_dir}. Start `inferway serve` with the same --data-dir, or set INFERWAY_API_KEY."
        )
    found = namespace or chosen.namespace or (credentials.namespace if credentials else "default")
    require_plain("The namespace", found)
    require_plain("The key", key)
    return Address(url=url.rstrip("/"), api_key=key, namespace=found)


def require_plain(name: str, text: str) -> None:
    """Raises `OperatorError` for what no header can hold."""
    if not (text and text.isascii() and text.isprintable()):
        raise OperatorError(f"{name} has only letters, digits and signs of ASCII. Write it anew.")
