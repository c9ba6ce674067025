"""Language models in KenLM's binary formats, read where they lie: the file is mapped, and nothing of it is copied."""
