"""House rules that a machine can check: import directions, empty packages, lazy heavy libraries, file names."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("synth", "models", "benchmark", "reports")
FLOOR = ("benchmark.protocol", "benchmark.metrics")

# Which of our packages a module of a package may import. The ground floor (FLOOR) is open to models and synth.compare.
ALLOWED = {
    "synth": {"synth"},
    "models": {"models", "synth"},
    "benchmark": {"benchmark", "models", "synth"},
    "reports": {"reports"},
}


def python_files() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "out" not in path.parts)


def imports_of(path: Path) -> list[tuple[str, int]]:
    """(module, level) of every import in a file, inside functions too."""
    found: list[tuple[str, int]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, 0) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.module or "", node.level))
    return found


def on_floor(module: str) -> bool:
    return any(module == name or module.startswith(name + ".") for name in FLOOR)


def allowed(importer: Path, module: str) -> bool:
    package = importer.relative_to(ROOT).parts[0]
    target = module.split(".")[0]
    if target not in PACKAGES:
        return True
    dotted = ".".join(importer.relative_to(ROOT).with_suffix("").parts)
    if dotted.startswith("benchmark.metrics") or dotted == "benchmark.protocol":
        return module.startswith(("benchmark.metrics", "benchmark.protocol"))
    if target in ALLOWED[package]:
        return True
    if package == "models" or dotted == "synth.compare":
        return on_floor(module)
    return package == "reports" and module == "benchmark.results"


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_import_directions(path: Path) -> None:
    for module, level in imports_of(path):
        assert level == 0, f"{path}: relative import of {module!r}; imports are absolute here"
        assert allowed(path, module), f"{path} may not import {module}"


@pytest.mark.parametrize("package", PACKAGES)
def test_package_init_is_empty(package: str) -> None:
    assert (ROOT / package / "__init__.py").read_text() == ""


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
