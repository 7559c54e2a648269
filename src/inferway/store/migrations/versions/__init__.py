"""The revisions: a module each, numbered without a gap; one that was released is never changed."""
