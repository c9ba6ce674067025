"""The pinned packages: those of a bundle are a small part of the CPU's, and every pin has hashes and no address."""

import re

import pytest

from tests.documents import ROOT

NAMES = ("cpu", "gpu", "onnx", "dev")


def read(name: str) -> str:
    return (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8")


def pins(name: str) -> set[str]:
    """Names and versions."""
    return set(re.findall(r"^([a-z0-9-]+==\S+)", read(name), re.MULTILINE))


def names(name: str) -> set[str]:
    return {pin.split("==")[0] for pin in pins(name)}


@pytest.mark.parametrize("name", NAMES)
def test_every_package_has_hashes_and_none_an_address(name):
    text = read(name)
    assert "://" not in text
    blocks = re.split(r"\n(?=\S)", text.strip())
    assert [block for block in blocks if "--hash=sha256:" not in block] == []


def test_a_bundle_needs_a_part_of_what_the_training_needs():
    assert pins("onnx") < pins("cpu")
    of_the_training = {"paddlepaddle", "dvc", "visualdl", "matplotlib", "onnx", "jinja2", "psutil", "rapidfuzz"}
    assert of_the_training | {"safetensors"} <= names("cpu")
    assert names("onnx") & (of_the_training | {"safetensors"}) == set()


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_both_wheels_come_with_onnx(name):
    assert {"onnx", "onnxruntime", "protobuf"} <= names(name)
