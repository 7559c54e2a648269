"""How much a caller may use: admission of every call, and what is reserved for it."""
