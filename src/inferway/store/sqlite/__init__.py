"""One SQLite file: the default store of one machine."""
