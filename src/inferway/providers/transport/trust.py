"""Whom the transport trusts: certificates are always verified."""

import ssl


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """A client context with the system's certificate authorities and those of a PEM bundle; TLS 1.2 or newer.

    Raises OSError or ssl.SSLError when the bundle cannot be read.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context
