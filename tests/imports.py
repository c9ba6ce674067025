"""What the modules of this project import, read from their source."""

import ast
from collections.abc import Collection, Iterable

from tests.documents import ROOT

FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in ("ds2", "stages", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
# Packages that import their own modules by a name that params.yaml gives.
_BY_NAME = {"ds2.model", "ds2.corpora"}


def imports(name: str, everywhere: bool) -> set[str]:
    """The modules that a module imports, by their full names; those for type checkers do not count.

    Args:
        name: of the module.
        everywhere: within functions too, else only when it is loaded.
    """
    found: set[str] = set()
    pending: list[ast.AST] = [ast.parse(FILES[name].read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {one for one in inner if one in FILES} or {str(node.module)}
        elif isinstance(node, ast.If) and ("TYPE_CHECKING" in ast.dump(node.test) or _is_main(node)):
            pending += node.orelse
        elif everywhere or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            pending += ast.iter_child_nodes(node)
    return found


def _is_main(node: ast.If) -> bool:
    return "__main__" in ast.dump(node.test)


def reached(names: Iterable[str], without: Collection[str] = ()) -> dict[str, set[str]]:
    """These modules and all of the project that they import, however far; of each what it imports itself.

    Args:
        names: of the modules to start from.
        without: modules that are neither counted nor looked into.
    """
    found: dict[str, set[str]] = {}
    pending = list(names)
    while pending:
        name = pending.pop()
        if name in found or name in without:
            continue
        found[name] = imports(name, everywhere=True)
        pending += found[name] & FILES.keys()
        if name in _BY_NAME:
            pending += [other for other in FILES if other.startswith(f"{name}.")]
    return found
