"""What importing costs, who imports whom, and which names are public."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import ai_infra
import pytest

PACKAGE = Path(ai_infra.__file__).parent
HEAVY = ("numpy", "openai", "pydantic", "httpx", "langchain_core", "psycopg", "tiktoken")


@pytest.mark.parametrize(
    "statement", ["import ai_infra", "from ai_infra import fit_context, count_tokens, LLM"]
)
def test_importing_loads_nothing_heavy(statement: str) -> None:
    code = (
        f"{statement}; import json, sys; print(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(json.loads(done.stdout)) & set(HEAVY)


# Each layer may import itself and the ones before it.
LAYERS = [
    ["errors", "_lazy", "_flow", "_checks", "_files", "_secrets", "_core", "messages", "demo"],
    ["_service", "embeddings", "storage"],
    [
        "llm.memory",
        "llm.client",
        "llm.arguments",
        "llm.reasoning",
        "llm.response",
        "llm.reading",
        "llm.sending",
        "llm.streaming",
    ],
    ["llm"],
    ["testing"],
    ["integrations", "cli", "__main__"],
]


def layer(module: str) -> int:
    name = module.removeprefix("ai_infra").removeprefix(".")
    if not name:
        return -1  # the package itself: its names are loaded lazily
    found = [
        (len(prefix), at)
        for at, prefixes in enumerate(LAYERS)
        for prefix in prefixes
        if name == prefix or name.startswith(prefix + ".")
    ]
    assert found, f"{module} is in no layer"
    return max(found)[1]


def top_level_imports(path: Path) -> set[str]:
    """Modules of ours that are imported when the file is: not inside functions, not for types alone."""
    found: set[str] = set()
    waiting: list[ast.AST] = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names if node.module == "ai_infra")
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        elif isinstance(node, ast.If | ast.Try | ast.ClassDef | ast.With):
            waiting.extend(ast.iter_child_nodes(node))
    return {name for name in found if name.startswith("ai_infra.")}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    parts = ("ai_infra", *path.relative_to(PACKAGE).with_suffix("").parts)
    module = ".".join(parts).removesuffix(".__init__")
    own = layer(module)
    if own < 0:
        return
    for imported in top_level_imports(path):
        if (PACKAGE / Path(*imported.split(".")[1:])).exists() or (
            PACKAGE / Path(*imported.split(".")[1:]).with_suffix(".py")
        ).exists():
            assert layer(imported) <= own, f"{module} may not import {imported}"


@pytest.mark.parametrize(
    "module", ["ai_infra", "ai_infra.llm.memory", "ai_infra.messages", "ai_infra.errors"]
)
def test_public_names_are_there_and_documented(module: str) -> None:
    found = importlib.import_module(module)
    assert len(set(found.__all__)) == len(found.__all__)
    for name in found.__all__:
        value = getattr(found, name)
        if callable(value):
            assert value.__doc__, f"{module}.{name} has no docstring"
    with pytest.raises(AttributeError, match="no_such_name"):
        found.no_such_name  # noqa: B018 - the access is the test


def test_every_error_is_ours_and_a_builtin() -> None:
    from ai_infra import errors

    for name in errors.__all__:
        error = getattr(errors, name)
        assert issubclass(error, errors.AIInfraError)
        assert str(error("why, what, remedy")) == "why, what, remedy"
        if name not in ("AIInfraError",):
            builtins = [base for base in error.__mro__ if base.__module__ == "builtins"]
            assert len(builtins) > 3, f"{name} is no builtin error but Exception"
        assert f"{name} " in errors.__doc__ or f"{name}\n" in errors.__doc__ or name == "AIInfraError"


def test_a_debug_build_says_so() -> None:
    code = (
        "import sys, types, warnings; core = types.ModuleType('ai_infra._core'); "
        "core.DEBUG_BUILD, core.VERSION = True, '0'; sys.modules['ai_infra._core'] = core; "
        "import ai_infra"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, check=True
    )
    assert "built without optimizations" in done.stderr
