"""What a page says after a form: words in the address stand for these sentences, so that no address can put words into a page."""

from types import MappingProxyType

NOTICES = MappingProxyType(
    {
        "signed-out": "You are signed out.",
        "ended": "Your session has ended: sign in again.",
        "saved": "Saved.",
        "user-made": "The user is made. Set a password, or hand a sign-in link on.",
        "user-deleted": "The user and all its keys are gone.",
        "password-set": "The password is set.",
        "password-removed": "The password is gone.",
        "namespace-made": "The namespace is made.",
        "namespace-deleted": "The namespace is gone.",
        "secret-kept": "The secret is kept.",
        "secret-deleted": "The secret is gone.",
        "key-revoked": "The key is revoked.",
    }
)
