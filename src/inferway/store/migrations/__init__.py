"""The tables of every database, as numbered revisions that alembic puts in order and writes as SQL."""
