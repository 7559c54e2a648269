"""The description of the API, made from the values that serve it."""
