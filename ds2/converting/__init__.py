"""Other toolkits' lists of utterances, read line by line for an annotation. A module a format: find and read."""
