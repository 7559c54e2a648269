"""The refusals of media: what callers read, in words that never depend on the network."""

from inferway.errors import BadRequest


class MediaUnavailable(BadRequest):
    """A URL that may not be fetched or gave nothing. One sentence for every cause: the cause is in the operator's log only."""

    default_code = "media_unavailable"

    def __init__(self) -> None:
        super().__init__(
            "The media URL could not be fetched. It must be an http or https URL of a public host, on a permitted port, that"
            " answers in time with the content itself; or send the content as base64."
        )


class MediaTooLarge(BadRequest):
    """More bytes, pixels or pieces than allowed; the limit is named."""

    default_code = "media_too_large"


class MediaType(BadRequest):
    """Content whose own first bytes are not of a type that this input takes."""

    default_code = "media_type"


class MediaUnreadable(BadRequest):
    """Content that is damaged or is not base64."""

    default_code = "media_unreadable"


class FetchFailed(Exception):
    """Why a URL was not fetched, in words for the operator's log; callers get `MediaUnavailable`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
