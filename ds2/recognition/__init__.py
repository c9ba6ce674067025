"""Features to text, by a network and a decoder."""
