"""Opening, measuring and resampling recordings."""
