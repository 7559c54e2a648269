"""What an embedding call without a twin pays for looking for one among the workers: `python -m bench.flights`."""

import os
import statistics
import tempfile
import time
from pathlib import Path

from inferway.pipeline.leaders import KEY_BYTES, Leaders

_CALLS = 20_000
_ROUNDS = 9


def main() -> None:
    """Prints the median of the rounds, in microseconds of wall for each call."""
    keys = [os.urandom(KEY_BYTES) for _ in range(_CALLS)]
    with tempfile.TemporaryDirectory() as folder:
        leaders, other = Leaders.open(Path(folder)), Leaders.open(Path(folder))
        rounds = []
        for _ in range(_ROUNDS):
            began = time.perf_counter()
            for key in keys:
                leaders.claim(key)
                leaders.release(key)
            rounds.append((time.perf_counter() - began) / _CALLS * 1_000_000)
        other.close()
        leaders.close()
    print(f"a call claimed for this worker and given back: {statistics.median(rounds):.2f} µs")


if __name__ == "__main__":
    main()
