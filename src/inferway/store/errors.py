"""What is wrong with a database, in words for whoever runs it."""

from inferway.errors import OperatorError


class StoreError(OperatorError):
    """The database cannot be used; the message is one line that says what to do."""
