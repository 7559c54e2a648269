"""What a form has sent."""

from urllib.parse import parse_qsl

from inferway.errors import BadRequest

_FIELDS_MAX = 1000


class Form:
    """The fields of an `application/x-www-form-urlencoded` body, as text. A name may stand there several times."""

    def __init__(self, body: bytes) -> None:
        """Raises `BadRequest` for what is no form."""
        try:
            text = body.decode("utf-8")
            self._pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS_MAX, errors="strict")
        except ValueError:
            raise BadRequest("That is not a form of this site.", code="form_invalid") from None

    def find(self, name: str) -> str | None:
        """A field's text without the blanks around it; None when it is missing or empty."""
        return next((value.strip() for key, value in self._pairs if key == name and value.strip()), None)

    def raw(self, name: str) -> str:
        """A field's text as it was typed."""
        return next((value for key, value in self._pairs if key == name), "")

    def all(self, name: str) -> list[str]:
        """Every filled field of a name: boxes that are checked."""
        return [value for key, value in self._pairs if key == name and value]

    def lines(self, name: str) -> list[str]:
        """The lines of a text area, without empty ones."""
        return [line.strip() for line in self.raw(name).splitlines() if line.strip()]

    def values(self) -> dict[str, str]:
        """Every field's last text, to fill a form again."""
        return dict(self._pairs)
