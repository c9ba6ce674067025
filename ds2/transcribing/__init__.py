"""Recordings to text with a trained checkpoint and nothing else."""
