"""The stages of dvc.yaml, one module each: read the parameters, call ds2, write the results."""
