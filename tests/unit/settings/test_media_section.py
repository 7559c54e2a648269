"""The section `[media]` is the fetcher's own settings, field for field."""

from inferway.media import policy
from inferway.settings import MediaSettings


def test_the_section_has_the_fetchers_fields_and_defaults() -> None:
    ours, theirs = MediaSettings(), policy.MediaSettings()
    assert set(ours.__struct_fields__) == set(theirs.__struct_fields__)
    for name in theirs.__struct_fields__:
        assert getattr(ours, name) == getattr(theirs, name), name
