"""Providers: how each one is spoken to, and the table of those that are configured."""
