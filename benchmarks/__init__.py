"""Measures the tap: beside its peers, another checkout, and a simulated rate limit."""
