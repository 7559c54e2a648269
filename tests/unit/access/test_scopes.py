"""Scopes: what a pattern means, what a scope permits, and that nobody can grant beyond his own."""

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway.access.scopes import (
    Scope,
    allows_model,
    allows_origin,
    covers,
    covers_patterns,
    matches,
    permits,
)

texts = st.text("ab*", max_size=8)
plain = st.text("ab", max_size=8)


@given(texts, plain)
def test_a_star_stands_for_any_characters_and_nothing_else_is_special(pattern: str, text: str) -> None:
    assert matches(pattern, text) == bool(re.fullmatch(pattern.replace("*", ".*"), text))


@pytest.mark.parametrize(("pattern", "text"), [("[ab]", "a"), ("?", "a"), ("a.c", "abc"), ("ab*ba", "aba")])
def test_no_other_sign_is_a_wildcard(pattern: str, text: str) -> None:
    assert not matches(pattern, text)


@given(texts, texts, plain)
def test_whatever_a_granted_pattern_reaches_is_within_the_holders(held: str, asked: str, text: str) -> None:
    if covers_patterns((held,), (asked,)) and matches(asked, text):
        assert fnmatch.fnmatchcase(text, held)


def scope(pattern: str, *operations: str, kind: str = "namespace") -> Scope:
    return Scope(resource_type=kind, resource_id=pattern, operations=tuple(operations) or None)  # type: ignore[arg-type]


def test_no_scopes_permit_everything_and_one_permits_only_its_own() -> None:
    assert permits((), "secret", (), "org_1", "admin")
    team = (scope("ns_team_*"),)
    assert permits(team, "namespace", ("ns_team_1", "red"), "org_1", "infer")
    assert not permits(team, "namespace", ("ns_2", "blue"), "org_1", "infer")
    assert not permits(team, "secret", ("ns_team_1",), "org_1", "read")
    assert permits((scope("org_1", kind="organization"),), "secret", ("x",), "org_1", "admin")
    assert not permits((scope("org_2", kind="organization"),), "secret", ("x",), "org_1", "admin")


def test_operations_narrow_a_scope() -> None:
    readers = (scope("*", "read_data"),)
    assert permits(readers, "namespace", ("a",), "org_1", "read")
    assert not permits(readers, "namespace", ("a",), "org_1", "infer")
    assert permits((scope("*", "execute_job"),), "namespace", ("a",), "org_1", "infer")


@pytest.mark.parametrize(
    ("held", "asked", "expected"),
    [
        ((), (), True),
        ((), (scope("*"),), True),
        ((scope("a"),), (), False),
        ((scope("a*"),), (scope("ab"),), True),
        ((scope("a*"),), (scope("a*"),), True),
        ((scope("ab*"),), (scope("a*"),), False),
        ((scope("a"),), (scope("a", kind="secret"),), False),
        ((scope("a", "read_data"),), (scope("a"),), False),
        ((scope("a"),), (scope("a", "read_data"),), True),
        ((scope("a"),), (scope("org_1", kind="organization"),), False),
        ((scope("org_1", kind="organization"),), (scope("a"),), True),
        ((scope("a"),), (scope("a"), scope("b")), False),
    ],
)
def test_a_grant_lies_within_what_is_held(
    held: tuple[Scope, ...], asked: tuple[Scope, ...], *, expected: bool
) -> None:
    assert covers(held, asked, "org_1") is expected


def test_models_go_by_their_name_or_with_their_provider() -> None:
    assert allows_model((), "openai", "gpt-5")
    assert allows_model(("gpt-*",), "openai", "gpt-5")
    assert allows_model(("openai/*",), "openai", "gpt-5")
    assert not allows_model(("openai/*",), "anthropic", "gpt-5")
    assert not allows_model(("gpt-4",), "openai", "gpt-4o")


def test_an_origin_is_one_of_those_that_are_named() -> None:
    assert allows_origin((), None)
    named = ("https://a.example", "https://*.b.example")
    assert allows_origin(named, "https://A.example")
    assert allows_origin(named, "https://x.b.example")
    for origin in (None, "", "http://a.example", "https://b.example", "https://x.b.example.evil.com", "null"):
        assert not allows_origin(named, origin)
