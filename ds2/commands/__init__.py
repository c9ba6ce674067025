"""The commands of python -m ds2, one module each."""
