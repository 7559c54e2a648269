"""Makes a provider's words fit to be shown: no keys, no addresses, no account numbers, one line, bounded length."""

import re

from inferway.providers.base import Headers

MAX_CHARACTERS = 500
_READ_CHARACTERS = 4_000

_TOP_LEVEL = (
    "com|net|org|io|ai|dev|app|cloud|co|gov|edu|info|tech|sh|uk|eu|de|fr|cn|jp|"
    "internal|local|localdomain|lan|corp|home|intra|svc|cluster|test|example|invalid"
)

# Order matters: an address may hold a key or a mail-like user part, so addresses go first.
_MASKS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), mask)
    for pattern, mask in (
        (r"(?i)\b[a-z][a-z0-9+.-]{1,15}://[^\s\"'<>]*[^\s\"'<>.,;:!?)\]}]", "[url]"),
        (r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}", "[email]"),
        (
            (
                rf"(?i)(?<![\w.-])(?:[a-z0-9-]{{1,63}}\.){{1,8}}(?:{_TOP_LEVEL})(?![\w-])"
                r"(?::\d{1,5})?(?:/[^\s\"'<>]*[^\s\"'<>.,;:!?)\]}])?"
            ),
            "[host]",
        ),
        (
            r"(?i)(?<![\w.-])(?:localhost|[a-z0-9][a-z0-9.-]{0,62}[a-z]):(?:\d{4,5}|80|443)(?!\w)(?:/\S*[^\s.,;])?",
            "[host]",
        ),
        (r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]\d)(?::\d{1,5})?", "[address]"),
        (r"(?i)(?<![\w:])\[?(?:[0-9a-f]{0,4}:){3,7}[0-9a-f]{0,4}\]?(?::\d{1,5})?(?!\w)", "[address]"),
        (r"(?i)(\bbearer\s+)[\w.~+/=-]{8,}", r"\1[key]"),
        (
            (
                r"(?i)(\b(?:api[ _-]?key|access[ _-]?token|token|secret|password|credentials?|authorization)"
                r"(?:\s+provided)?[\"']?\s*[:=]\s*)(?!\[)[^\s,;]*[^\s,;.]"
            ),
            r"\1[key]",
        ),
        (
            (
                r"\b(?:sk|pk|rk|ak|gsk|xai|hf|nvapi|pplx|key|fw|r8|tgp|csk|esecret|AIza|ya29|1//0|AKIA|ASIA|gh[opsu]|github_pat"
                r"|glpat|xox[abprs])[_.-][\w.*-]{4,}\w"
            ),
            "[key]",
        ),
        (r"\b(?:AIza|AKIA|ASIA)[\w-]{8,}", "[key]"),
        (r"\beyJ[\w-]{8,}(?:\.[\w-]*){0,2}", "[key]"),
        (r"(?<![\w<-])[\w<-]*+\*{3,}[\w>*-]*", "[key]"),
        (
            # The length first: what follows looks far ahead, and would at every second character of "1_1_1_".
            (
                r"(?<![A-Za-z0-9])(?<!req_)(?=[A-Za-z0-9]{24})"
                r"(?=[A-Za-z]*\d)(?=[^A-Z\W]*[A-Z])(?=[^a-z\W]*[a-z])[A-Za-z0-9]+"
            ),
            "[key]",
        ),
        (r"(?<![A-Za-z0-9])(?<!req_)[0-9a-fA-F]{32,}(?![A-Za-z0-9])", "[key]"),
        (r"(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "[id]"),
        (r"\b(?:org|proj|acct|user)[-_](?=[\w-]*\d)[\w-]{8,}", "[id]"),
        (
            r"(?i)(\bprojects?(?:[ _-]?(?:number|id))?[\"']?(?:/|\s*[:=#]\s*|\s+)[\"'`]?)(?=[\w-]*\d)[a-z0-9][\w-]{3,}",
            r"\1[project]",
        ),
        (r"(?i)(\bprojects/)[\w.:-]+", r"\1[project]"),
        (r"(?<![\w.,-])\d{10,14}(?![\w.,-]\d|\w)", "[number]"),
    )
)
_SHORTEST_SECRET = 8
_PUBLIC_HEADERS = frozenset(
    (
        "accept",
        "anthropic-beta",
        "anthropic-version",
        "content-type",
        "openai-beta",
        "openai-organization",
        "openai-project",
        "user-agent",
        "x-goog-user-project",
    )
)


def secrets_of(headers: Headers) -> tuple[bytes, ...]:
    """The secrets that a request shows in its headers: everything but what is known to be public, without a scheme in front."""
    shown = (value.rpartition(" ")[2] for name, value in headers if name.lower() not in _PUBLIC_HEADERS)
    return tuple(secret.encode("utf-8", "replace") for secret in shown if len(secret) >= _SHORTEST_SECRET)


def mask_secrets(data: bytes, secrets: tuple[bytes, ...]) -> bytes:
    """The data with our own secrets masked: some upstreams repeat what they were sent, and no pattern knows every kind of key."""
    for secret in secrets:
        # `in` tries first whether the secret is a number.
        if data.find(secret) >= 0:
            data = re.sub(re.escape(secret) + rb"[\w-]*", b"[key]", data)
    return data


_BLANKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]+")


def scrub(text: str) -> str:
    """The text on one line with keys, addresses, e-mail addresses, account and project numbers masked; at most 500 characters.

    Masking is a second line of defence: what must never leave is not put into a message to begin with.
    """
    if len(text) > _READ_CHARACTERS:
        # The last word may be half a key, which no pattern would know.
        text = text[:_READ_CHARACTERS].rsplit(None, 1)[0]
    text = text.encode("utf-8", "replace").decode("utf-8")
    text = _BLANKS.sub(" ", text).strip()
    for pattern, mask in _MASKS:
        text = pattern.sub(mask, text)
    if len(text) <= MAX_CHARACTERS:
        return text
    return text[: MAX_CHARACTERS - 1].rstrip() + "…"
