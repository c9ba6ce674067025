"""Training, and going on with it."""
