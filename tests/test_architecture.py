"""House rules that a machine can check: import directions, empty packages, lazy heavy libraries, file names."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("core", "synth", "models", "benchmark", "reports")
FLOOR = ("benchmark.protocols", "benchmark.metrics")

# Which of our packages a module of a package may import. FLOOR is open to models and synth.compare, too.
ALLOWED = {
    "core": {"core"},
    "synth": {"synth", "core"},
    "models": {"models", "synth", "core"},
    "benchmark": {"benchmark", "models", "synth", "core"},
    "reports": {"reports", "core"},
}

# Imports of our own modules inside a function: each keeps a heavy library (torch, numba) out of entry points that can
# do without it. There are no others.
HEAVY = {
    ("models", "models.restore"),  # of the names that the packages offer to Python users
    ("models.nets.along_motion", "models.nets.along_motion_compiled"),
    ("synth", "synth.arrays"),
    ("synth.live_exposures", "synth.live_exposures_in_torch"),
    ("synth.gaps_in_torch", "synth.interp.integral_in_torch"),
    ("synth.interp.flow", "synth.interp.integral"),
    ("synth.interp.rife", "synth.interp.nets.rife_v36"),
    ("synth.interp.rife", "synth.interp.nets.rife_v4"),
    ("synth.interp.spynet", "synth.interp.nets.spynet"),
}


def python_files() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "out" not in path.parts)


def name_of(path: Path) -> str:
    if path.with_suffix("").is_dir():  # an entry script beside a package of its name
        return ".".join([*path.relative_to(ROOT).with_suffix("").parts, "__main__"])
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


OURS = {name_of(path) for path in python_files()}


def imported(nodes: Iterable[ast.AST]) -> set[str]:
    """Our modules that these imports name; `from package import module` names the module. Types only: not counted."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import of {node.module!r}; imports are absolute here"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in OURS else node.module or "" for name in names}
    return {name for name in found if name.split(".")[0] in PACKAGES}


@cache
def imports_of(path: Path) -> tuple[set[str], set[str]]:
    """(all of our modules that a file imports when it runs, those of them inside functions)"""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    types_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = imported(inner for function in functions for inner in ast.walk(function))
    return imported(node for node in ast.walk(tree) if id(node) not in types_only), inside


def on_floor(module: str) -> bool:
    return any(module == name or module.startswith(name + ".") for name in FLOOR)


def allowed(importer: str, module: str) -> bool:
    package, target = importer.split(".")[0], module.split(".")[0]
    if on_floor(importer):
        return target == "core" or on_floor(module)
    if target in ALLOWED[package]:
        return True
    if package == "models" or importer == "synth.compare":
        return on_floor(module)
    return package == "reports" and module == "benchmark.results"


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_import_directions(path: Path) -> None:
    importer = name_of(path)
    everything, inside = imports_of(path)
    for module in everything:
        assert allowed(importer, module), f"{path} may not import {module}"
    assert {(importer, module) for module in inside} <= HEAVY, f"{path} hides an import of ours inside a function"


def test_the_list_of_hidden_imports_is_exact() -> None:
    found = {(name_of(path), module) for path in python_files() for module in imports_of(path)[1]}
    assert found == HEAVY


def test_no_circle() -> None:
    """Imports inside functions count, too."""
    graph = {name_of(path): imports_of(path)[0] - {name_of(path)} for path in python_files()}
    order: list[str] = []
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
    assert len(order) >= len(graph)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_nothing(package: str) -> None:
    """Empty, or names for Python users that import nothing before they are asked for."""
    text = (ROOT / package / "__init__.py").read_text(encoding="utf-8")
    code = f"import sys, {package}; print(sorted(name for name in sys.modules if name.startswith('{package}.')))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.stdout.strip() == "[]", run.stdout + run.stderr
    if package in ("core", "reports"):
        assert text == ""


def test_every_package_is_listed_for_installation() -> None:
    listed = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for package in PACKAGES:
        for init in (ROOT / package).rglob("__init__.py"):
            name = ".".join(init.parent.relative_to(ROOT).parts)
            assert f'"{name}"' in listed, f"{name} is missing from [tool.setuptools] packages"


def test_no_file_hides_a_library() -> None:
    libraries = {"torch", "numpy", "cv2", "joblib", "pandas", "imageio", "skimage"}
    taken = {*sys.stdlib_module_names, *libraries, *PACKAGES}
    ours = {path.stem for path in python_files() if path.parent.parent == ROOT and path.stem != "__init__"}
    assert not ours & taken


@pytest.mark.parametrize("entry", ["synth.make_pairs", "reports.build", "benchmark.results"])
def test_torch_is_not_imported(entry: str) -> None:
    heavy = {"torch", "albumentations", "lpips", "pyiqa", "numba"}
    code = f"import sys, {entry}; found = {heavy!r} & set(sys.modules); print(sorted(found)); sys.exit(bool(found))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr


def test_no_private_traces() -> None:
    """Nothing of a developer's machine goes into the repository: no home or work paths in tracked text."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode != 0:
        pytest.skip("not a git checkout")
    for name in filter(None, tracked.stdout.split("\0")):
        path = ROOT / name
        if not path.is_file() or path.suffix in {".png", ".npz", ".jpg"} or path == Path(__file__):
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        own_path = len(ROOT.parts) > 2 and str(ROOT) in text  # a short path such as /data stands in texts by chance
        assert not own_path and "/home/" not in text, name
