"""Where things are kept: the Protocols of the features, over SQLite and, for tests, in memory."""
