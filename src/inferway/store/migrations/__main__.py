"""`python -m inferway.store.migrations DIALECT [REVISION]`: prints the statements that follow a revision, as JSON."""

import json
import sys

from inferway.store.migrations.writer import write_statements


def main() -> None:
    """Entry."""
    dialect, *since = sys.argv[1:]
    sys.stdout.write(json.dumps(write_statements(dialect, since[0] if since else None)))


if __name__ == "__main__":
    main()
