"""What a page says after a form: words in the address stand for these sentences, so that no address can put words into a page."""

from types import MappingProxyType

NOTICES = MappingProxyType(
    {
        "signed-out": "You are signed out.",
        "ended": "Your session has ended: sign in again.",
        "saved": "Saved.",
    }
)
