"""How long the audio in a file really is, by what its container states: no decoder is needed."""
