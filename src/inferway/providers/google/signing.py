"""Signs for a service account; imported when a signature is wanted, as its library is slow to load."""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa


def sign_rs256(private_key: str, message: bytes) -> bytes:
    """The RS256 signature by a PEM key; raises `ValueError` when it is no RSA key that can be read."""
    try:
        key = serialization.load_pem_private_key(private_key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("not a PEM private key") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("not an RSA key")  # noqa: TRY004 - the value is wrong, whatever class it was read as
    return key.sign(message, padding.PKCS1v15(), hashes.SHA256())
