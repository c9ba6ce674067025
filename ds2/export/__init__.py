"""The bundle: a trained model for programs without paddle."""
