"""The stages of dvc.yaml, one module each: read the parameters, call ds2, write the results."""

import ds2  # noqa: F401 - before all other packages: it says so where none is installed
