"""The stores in memory: twins of the real ones, for tests and trials."""
