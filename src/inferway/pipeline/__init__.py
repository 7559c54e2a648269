"""The one life of a request: admit, plan, cache, call, settle."""
