"""Error rules as data: the first match counts, and something always matches."""

from hypothesis import given
from hypothesis import strategies as st

from inferway.errors import ProviderAuth, ProviderBadAnswer, ProviderFailed, ProviderRefused, UpstreamError
from inferway.providers.errors import ErrorRule, ProviderSaid, get_rule, make_error

RULES = (
    ErrorRule(situation="busy", statuses=(400, 503), words=("busy",), error=ProviderFailed),
    ErrorRule(situation="key", statuses=(400,), words=("bad_key",), error=ProviderAuth),
    ErrorRule(situation="other", statuses=(400,), error=ProviderRefused, retryable=True),
)


def test_the_first_row_with_this_status_and_one_of_these_words_counts() -> None:
    assert get_rule(RULES, ProviderSaid(status=400, words=("x", "BUSY"))).situation == "busy"
    assert get_rule(RULES, ProviderSaid(status=400)).situation == "other"
    assert get_rule(RULES, ProviderSaid(status=404, words=("busy",))).error is ProviderRefused
    assert get_rule(RULES, ProviderSaid(status=407)).error is ProviderAuth
    assert get_rule(RULES, ProviderSaid(status=599)).error is ProviderFailed
    assert get_rule(RULES, ProviderSaid(status=304)).error is ProviderBadAnswer


def test_without_a_status_only_words_can_tell() -> None:
    assert get_rule(RULES, ProviderSaid(status=None, words=("bad_key",))).error is ProviderAuth
    assert get_rule(RULES, ProviderSaid(status=None, words=("x",))).error is ProviderFailed


def test_a_row_can_say_by_itself_whether_to_try_again() -> None:
    assert [rule.is_retryable for rule in RULES] == [True, False, True]
    assert make_error("x", RULES, ProviderSaid(status=400)).retryable is True
    assert make_error("x", RULES, ProviderSaid(status=400, should_retry=False)).retryable is False


@given(
    status=st.none() | st.integers(100, 999),
    words=st.lists(st.text(), max_size=3),
    text=st.none() | st.text(),
    hint=st.none() | st.booleans(),
)
def test_everything_a_provider_says_is_some_error(
    *, status: int | None, words: list[str], text: str | None, hint: bool | None
) -> None:
    said = ProviderSaid(
        status=status, words=tuple(words), type=text, code=text, message=text, should_retry=hint
    )
    error = make_error("x", RULES, said)
    assert isinstance(error, UpstreamError)
    assert error.details is not None
    assert error.details["provider_error"].get("status") == status
