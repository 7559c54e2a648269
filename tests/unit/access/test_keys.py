"""Keys: what they look like, and that a checksum tells typos and strange bytes from keys."""

import hashlib
import re

from hypothesis import given
from hypothesis import strategies as st

from inferway.access.keys import ALPHABET, KEY_LENGTH, digest_of, is_well_formed, mint_key, prefix_of

KEY = mint_key()


def test_a_minted_key_has_the_documented_form() -> None:
    assert re.fullmatch(r"sk_[0-9A-Za-z]{36}", KEY)
    assert len(KEY) == KEY_LENGTH
    assert prefix_of(KEY) == KEY[:10]
    assert is_well_formed(KEY.encode())


def test_keys_do_not_repeat_and_use_the_whole_alphabet() -> None:
    keys = {mint_key() for _ in range(500)}
    assert len(keys) == 500
    assert set("".join(key[3:33] for key in keys)) == set(ALPHABET)


def test_the_digest_is_the_sha256_of_the_whole_key() -> None:
    assert digest_of(KEY.encode()) == hashlib.sha256(KEY.encode()).digest()


@given(st.integers(3, KEY_LENGTH - 1), st.sampled_from(ALPHABET))
def test_any_single_typo_is_refused(position: int, character: str) -> None:
    typo = KEY[:position] + character + KEY[position + 1 :]
    assert is_well_formed(typo.encode()) == (typo == KEY)


@given(st.integers(3, KEY_LENGTH - 2))
def test_any_two_swapped_neighbours_are_refused(position: int) -> None:
    swapped = KEY[:position] + KEY[position + 1] + KEY[position] + KEY[position + 2 :]
    assert is_well_formed(swapped.encode()) == (swapped == KEY)


@given(st.binary(max_size=80) | st.binary(min_size=36, max_size=36).map(lambda rest: b"sk_" + rest))
def test_strange_bytes_are_no_key(text: bytes) -> None:
    assert not is_well_formed(text)
