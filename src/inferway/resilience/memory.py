"""Whether this process runs out of memory: against a limit that was set, or the one of the container."""

import os
from pathlib import Path

_MIB = 1024 * 1024
_REFUSE_AT, _RELENT_AT = 0.90, 0.85
_CGROUP = "/sys/fs/cgroup"
_UNLIMITED = 1 << 60


class MemoryWatch:
    """Full from 90 % of the limit on, until it is below 85 % again.

    `limit_mb` is for this process alone; 0 takes the container's limit for all its processes (Linux control groups, version 2 or 1), and
    there may be none. Files that the kernel keeps in memory and would drop do not count.
    """

    def __init__(self, limit_mb: int = 0, cgroup: Path | None = None) -> None:
        self._limit = limit_mb * _MIB
        self._cgroup: Path | None = None
        if not self._limit:
            self._limit, self._cgroup = _find_limit(cgroup or Path(_CGROUP))
        self._full = False

    @property
    def limit_bytes(self) -> int:
        """The limit, 0 when there is none."""
        return self._limit

    def is_full(self) -> bool:
        """Looks."""
        if not self._limit:
            return False
        share = self.used_bytes() / self._limit
        self._full = share >= (_RELENT_AT if self._full else _REFUSE_AT)
        return self._full

    def used_bytes(self) -> int:
        """Bytes that count against the limit; 0 where they cannot be read."""
        try:
            if self._cgroup is None:
                pages = int(Path("/proc/self/statm").read_bytes().split()[1])
                return pages * os.sysconf("SC_PAGE_SIZE")
            return _used_by(self._cgroup)
        except (OSError, ValueError, IndexError):
            return 0


def _find_limit(cgroup: Path) -> tuple[int, Path | None]:
    """The container's limit in bytes and the folder that it stands in; (0, None) without one."""
    for folder, name in ((cgroup, "memory.max"), (cgroup / "memory", "memory.limit_in_bytes")):
        try:
            limit = int((folder / name).read_text())
        except (OSError, ValueError):  # `max` is no number
            continue
        if 0 < limit < _UNLIMITED:
            return limit, folder
    return 0, None


def _used_by(folder: Path) -> int:
    used = folder / "memory.current"
    if not used.exists():
        used = folder / "memory.usage_in_bytes"
    words = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    droppable = words.get("total_inactive_file", words.get("inactive_file", 0))
    return max(0, int(used.read_text()) - int(droppable))
