"""The section of what may be fetched from callers' URLs."""

import ipaddress
from typing import Annotated

from msgspec import Meta, Struct

_MIB = 1024 * 1024


class MediaSettings(Struct, frozen=True, kw_only=True):
    """`[media]`: what may be fetched from the URLs in inputs, field for field what the guarded fetcher takes."""

    allow_hosts: Annotated[
        tuple[str, ...],
        Meta(description="`name` or `name:port` that may have a private address."),
    ] = ()
    allow_networks: Annotated[
        tuple[str, ...],
        Meta(description="Private networks (10.1.0.0/16) that may be fetched from."),
    ] = ()
    deny_networks: Annotated[
        tuple[str, ...],
        Meta(description="Networks never fetched from, such as your own public ones."),
    ] = ()
    allow_ports: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=65535)], ...], Meta(description="Ports that a URL may name.")
    ] = (80, 443)
    max_redirects: Annotated[
        int, Meta(ge=0, le=20, description="Redirects that are followed; each is judged again.")
    ] = 3
    deadline_s: Annotated[
        float, Meta(gt=0, le=3600, description="Seconds for one fetch, redirects included.")
    ] = 20.0
    connect_timeout_s: Annotated[
        float, Meta(gt=0, le=60, description="Seconds to look up and connect to one host.")
    ] = 1.5
    max_image_bytes: Annotated[
        int, Meta(ge=1, le=1_000_000_000_000, description="Largest image, in bytes.")
    ] = 25 * _MIB
    max_audio_bytes: Annotated[
        int, Meta(ge=1, le=1_000_000_000_000, description="Largest recording, in bytes.")
    ] = 200 * _MIB
    max_video_bytes: Annotated[
        int, Meta(ge=1, le=1_000_000_000_000, description="Largest video, in bytes.")
    ] = 200 * _MIB
    max_document_bytes: Annotated[
        int, Meta(ge=1, le=1_000_000_000_000, description="Largest document, in bytes.")
    ] = 25 * _MIB
    max_pixels: Annotated[
        int, Meta(ge=1, le=10_000_000_000, description="Most pixels (width times height) of an image.")
    ] = 100_000_000
    max_concurrent: Annotated[
        int, Meta(ge=1, le=100_000, description="Fetches under way at once in one worker; further ones wait.")
    ] = 32
    max_buffered_bytes: Annotated[
        int,
        Meta(ge=1, le=1_000_000_000_000, description="Bytes of unfinished fetches held by one worker."),
    ] = 1024 * _MIB
    max_items: Annotated[int, Meta(ge=1, le=10_000, description="Pieces of media in one call.")] = 20
    pass_urls: Annotated[
        bool, Meta(description="Hand URLs to the providers that take them, to be fetched there.")
    ] = False
    ca_file: Annotated[
        str | None, Meta(description="Certificate authorities (PEM) to trust instead of the system's.")
    ] = None

    def __post_init__(self) -> None:
        for network in (*self.allow_networks, *self.deny_networks):
            ipaddress.ip_network(network)
