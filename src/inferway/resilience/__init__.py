"""Resilience: what is remembered of providers that fail, so that calls neither wait for them nor make it worse."""
