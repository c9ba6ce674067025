"""What the modules of this project import, read from their source."""

import ast
from collections.abc import Iterable

from tests.documents import ROOT

FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in ("ds2", "stages", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
}


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


def reached(names: Iterable[str]) -> dict[str, set[str]]:
    """These modules and all of the project that they import, however far; of each what it imports itself."""
    found: dict[str, set[str]] = {}
    pending = list(names)
    while pending:
        name = pending.pop()
        if name not in found:
            found[name] = imports(name, everywhere=True)
            pending += found[name] & FILES.keys()
    return found
