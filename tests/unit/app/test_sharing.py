"""When workers share their embedding calls."""

import logging
from pathlib import Path

import pytest
from msgspec.structs import replace

from inferway.app.sharing import open_fellows
from inferway.settings import CallSettings, ServerSettings, Settings


def settings(folder: Path, workers: int, *, coalesce: bool = True) -> Settings:
    chosen = Settings(data_dir=folder, calls=CallSettings(coalesce=coalesce))
    return replace(chosen, server=ServerSettings(workers=workers))


@pytest.mark.parametrize(("workers", "coalesce"), [(1, True), (4, False)])
def test_who_is_alone_or_may_not_share_has_no_table(tmp_path: Path, workers: int, coalesce: bool) -> None:  # noqa: FBT001
    assert open_fellows(settings(tmp_path, workers, coalesce=coalesce)) is None
    assert list(tmp_path.iterdir()) == []


async def test_several_workers_share(tmp_path: Path) -> None:
    fellows = open_fellows(settings(tmp_path, 2))
    assert fellows is not None
    await fellows.aclose()


def test_what_keeps_workers_from_sharing_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "flights").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        assert open_fellows(settings(tmp_path, 2)) is None
    assert "does not share embedding calls" in caplog.text
