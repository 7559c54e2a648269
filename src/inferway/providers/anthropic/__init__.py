"""Anthropic: the messages API, spoken to directly."""
