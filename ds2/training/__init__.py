"""Training, and resuming it."""
