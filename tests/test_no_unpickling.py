"""Nothing that is read from a file can run code: no module of the project unpickles."""

import ast
from collections.abc import Iterator

import pytest

from tests.imports import FILES

MODULES = {"_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve", "torch"}
LOADS = {"paddle.load", "paddle.jit.load"}
NAMES = {"eval", "exec", "__import__"}
# Machine code that was compiled here and lies in a folder that only this user can write is run anyway.
ALLOWED = {"ds2.compiled": ["imports pickle"]}


def faults(source: str) -> Iterator[str]:
    """What in the source of a module unpickles files, or runs them."""
    tree = ast.parse(source)
    paddles = {"paddle"}  # paddle and its modules, by their names here
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = {alias.name: alias.asname or alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}": alias.asname or alias.name for alias in node.names}
        else:
            continue
        yield from (f"imports {name}" for name in names if _root(name) in MODULES or name in LOADS)
        paddles |= {here for name, here in names.items() if _root(name) == "paddle"}
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) if name in NAMES:
                yield f"calls {name}"
            case ast.Constant(value=str(name)) if name in MODULES:  # importlib.import_module("pickle")
                yield f"names {name}"
            case ast.Attribute(attr="load") if _root(ast.unparse(node)) in paddles:
                yield ast.unparse(node)
            case ast.keyword(arg="allow_pickle", value=value) if ast.unparse(value) != "False":
                yield ast.unparse(node)


def _root(name: str) -> str:
    return name.split(".")[0]


@pytest.mark.parametrize("module", FILES)
def test_no_module_unpickles_what_it_reads(module):
    assert list(faults(FILES[module].read_text(encoding="utf-8"))) == ALLOWED.get(module, [])


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import pickle as json",
        "from pickle import loads",
        "import torch.serialization",
        "def f():\n    from joblib import load",
        "import importlib\nimportlib.import_module('pickle')",
        "import paddle\npaddle.load('model.pdparams')",
        "import paddle as p\np.load('model.pdparams')",
        "from paddle import load",
        "from paddle import jit\njit.load('model')",
        "import paddle\nread = paddle.framework.io.load",
        "import numpy as np\nnp.load('a.npy', allow_pickle=True)",
        "import numpy as np\nnp.load('a.npy', allow_pickle=asked)",
        "import shelve",
        "exec(open('state.json').read())",
    ],
)
def test_each_way_of_doing_so_would_be_found(source):
    assert len(list(faults(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import paddle\npaddle.save({}, 'a')",
        "import json\njson.load(open('a'))",
        "import numpy as np\nnp.load('a.npy')\nnp.load('a.npy', allow_pickle=False)",
        "model.eval()\nimport re\nre.compile('a')",
        "'no pickle is read'",
    ],
)
def test_what_runs_nothing_is_no_fault(source):
    assert list(faults(source)) == []
