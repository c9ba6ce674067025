"""Scoring hypotheses against references."""
