"""`python -m inferway.store.migrations`: has alembic write the SQL of every revision anew, into the folder `sql`; for who adds one."""

import json
import sys
from pathlib import Path

from inferway.store.migrations.writer import write_steps


def main() -> None:
    """Entry."""
    folder = Path(__file__).parent / "sql"
    for revision, texts in write_steps().items():
        file = folder / f"{revision}.json"
        file.write_text(json.dumps(texts, indent=1, ensure_ascii=False) + "\n", "utf-8")
        sys.stdout.write(f"{file.name}\n")


if __name__ == "__main__":
    main()
