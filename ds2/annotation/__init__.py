"""The users' annotations: their lines, what each is worth, and the parts that the utterances come into."""
