"""What is on disk of a trained model."""
