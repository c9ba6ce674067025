"""The stages of dvc.yaml, one module each: read the parameters, call ds2, write the results."""

from ds2 import startup

startup.refuse_without_packages()  # here, since the stages' own imports would fail
