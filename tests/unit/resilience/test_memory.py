"""The watch over memory, with control groups written into a folder."""

from pathlib import Path

from inferway.resilience.memory import MemoryWatch

_MIB = 1024 * 1024


def _version_2(folder: Path, used: int, limit: str = str(100 * _MIB), inactive: int = 0) -> Path:
    (folder / "memory.max").write_text(limit + "\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {inactive}\n")
    return folder


def test_it_is_full_at_90_percent_of_the_container_s_limit_and_until_85(tmp_path: Path) -> None:
    watch = MemoryWatch(cgroup=_version_2(tmp_path, 80 * _MIB))
    assert watch.limit_bytes == 100 * _MIB
    for used_mb, is_full in ((80, False), (91, True), (87, True), (84, False), (89, False), (90, True)):
        _version_2(tmp_path, used_mb * _MIB)
        assert watch.is_full() == is_full, used_mb


def test_files_that_the_kernel_may_drop_do_not_count(tmp_path: Path) -> None:
    watch = MemoryWatch(cgroup=_version_2(tmp_path, 95 * _MIB, inactive=50 * _MIB))
    assert (watch.used_bytes(), watch.is_full()) == (45 * _MIB, False)


def test_version_1_is_read_too(tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    folder.mkdir()
    (folder / "memory.limit_in_bytes").write_text(str(100 * _MIB))
    (folder / "memory.usage_in_bytes").write_text(str(95 * _MIB))
    (folder / "memory.stat").write_text(f"inactive_file 5\ntotal_inactive_file {2 * _MIB}\n")
    watch = MemoryWatch(cgroup=tmp_path)
    assert (watch.used_bytes(), watch.is_full()) == (93 * _MIB, True)


def test_without_a_limit_it_is_never_full(tmp_path: Path) -> None:
    assert not MemoryWatch(cgroup=tmp_path).is_full()
    assert not MemoryWatch(cgroup=_version_2(tmp_path, 10**12, limit="max")).is_full()


def test_a_limit_that_is_set_is_for_this_process(tmp_path: Path) -> None:
    assert MemoryWatch(1, cgroup=tmp_path).is_full()
    assert not MemoryWatch(1_000_000, cgroup=tmp_path).is_full()


def test_what_cannot_be_read_is_not_full(tmp_path: Path) -> None:
    watch = MemoryWatch(cgroup=_version_2(tmp_path, 95 * _MIB))
    (tmp_path / "memory.stat").unlink()
    assert not watch.is_full()
