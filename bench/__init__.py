"""Measures the gateway on the machine at hand, beside its floor and its peers."""
