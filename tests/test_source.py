"""Nothing in the project's own code hands a string to a shell or runs what it has read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
FILES = [
    path.relative_to(PROJECT)
    for place in ("main.py", "opts.py", "core", "models", "datasets", "tools")
    for path in ([PROJECT / place] if place.endswith(".py") else sorted((PROJECT / place).rglob("*.py")))
]
FORBIDDEN = {  # calls by their full names, or by the last part of it
    "eval", "exec", "compile", "__import__", "input", "execfile",
    "os.system", "os.popen", "os.execv", "os.execl", "os.execvp", "os.execve", "os.spawnl", "os.spawnv", "os.startfile",
    "subprocess.getoutput", "subprocess.getstatusoutput", "asyncio.create_subprocess_shell", "pty.spawn",
    "pickle.load", "pickle.loads", "pickle.Unpickler", "dill.load", "dill.loads", "joblib.load", "marshal.load",
    "marshal.loads", "shelve.open", "cloudpickle.load", "cloudpickle.loads", "numpy.load", "pandas.read_pickle",
    "torch.jit.load", "torch.package.PackageImporter", "torch.hub.load", "torch.ops.load_library", "torch.export.load",
    "yaml.load", "yaml.unsafe_load", "yaml.full_load", "runpy.run_path", "runpy.run_module", "code.interact",
    "ctypes.CDLL", "importlib.util.spec_from_file_location", "xml.etree.ElementTree.parse",
    "zipfile.ZipFile.extractall", "tarfile.open", "shutil.unpack_archive", "tempfile.mktemp",
}  # fmt: skip
METHODS = {"extract", "extractall"}  # of archives, which a member's name could lead out of the folder
OURS = {("tools/video2imgs.py", "extract"), ("tools/video2mp3.py", "extract"), ("tools/prepare.py", "extract")}
WEIGHTS_ONLY = {"torch.load", "torch.serialization.load"}


def name_of(node: ast.expr) -> str:
    """The dotted name of what is called, its last parts where it begins with something else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([*([node.id] if isinstance(node, ast.Name) else [""]), *reversed(parts)])


def imported(tree: ast.AST) -> dict[str, str]:
    """What each name of `import x as y` and `from x import y as z` stands for."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def faults(text: str, file: str = "") -> Iterator[str]:
    """One for each call that is forbidden."""
    tree = ast.parse(text)
    names = imported(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = name_of(node.func)
        first, _, rest = name.partition(".")
        full = f"{names.get(first, first)}{'.' * bool(rest)}{rest}"
        given = {word.arg: word.value for word in node.keywords}
        where = f"{file}:{node.lineno}: {full}"
        if full in FORBIDDEN:
            yield where
        if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS and (file, node.func.attr) not in OURS:
            yield where
        if "shell" in given and not (isinstance(given["shell"], ast.Constant) and given["shell"].value is False):
            yield f"{where} with shell"
        if full.startswith("subprocess.") and node.args and not isinstance(node.args[0], (ast.Name, ast.List)):
            yield f"{where} of a string"
        only = given.get("weights_only")
        if full in WEIGHTS_ONLY and not (isinstance(only, ast.Constant) and only.value is True):
            yield f"{where} without weights_only=True"
        if "trust_remote_code" in given or "allow_pickle" in given:
            yield f"{where} of foreign code"


@pytest.mark.parametrize("file", map(str, FILES))
def test_no_call_runs_what_was_read(file: str) -> None:
    assert list(faults((PROJECT / file).read_text(encoding="utf-8"), file)) == []


def test_all_of_the_project_is_looked_at() -> None:
    assert len(FILES) > 100 and {"main.py", "core/page/video.py", "tools/_workers.py"} <= set(map(str, FILES))


@pytest.mark.parametrize(
    "line",
    [
        "import os; os.system('ls')",
        "from os import system as s; s('ls')",
        "import subprocess; subprocess.run('ls', shell=True)",
        "import subprocess; subprocess.run(words, shell=flag)",
        "import subprocess as p; p.run(f'ls {name}')",
        "eval(text)",
        "import pickle as p; p.load(file)",
        "import torch; torch.load(path)",
        "import torch; torch.load(path, weights_only=False)",
        "from torch import load; load(path)",
        "import yaml; yaml.load(text, Loader=x)",
        "import numpy as np; np.load(path)",
        "archive.extractall(folder)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
    ],
)
def test_what_is_forbidden_is_found(line: str) -> None:
    assert len(list(faults(line))) >= 1


@pytest.mark.parametrize(
    "line",
    ["model.eval()", "import re; re.compile('x')", "import torch; torch.load(x, weights_only=True)",
     "import subprocess; subprocess.run(words, check=True)", "import json; json.load(file)"],
)  # fmt: skip
def test_what_is_allowed_is_let_pass(line: str) -> None:
    assert list(faults(line)) == []
