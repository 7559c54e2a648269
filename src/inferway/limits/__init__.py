"""How much a caller may use: admission of every call."""
