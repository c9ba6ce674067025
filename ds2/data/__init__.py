"""From annotations and audio to batches. Nothing here needs paddle."""
