"""No statement is built from a text that somebody passed: a lint over the sources, and what it must find."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
POSTGRES = ROOT / "python/ai_infra/storage/postgres"
RUNNERS = {"Ask", "_ask", "execute", "executemany", "copy"}
"""Whatever sends a statement, as its first argument."""
COMPOSERS = {"SQL"}
"""Whatever makes SQL of a text."""
FROM_FILES = {"self._blocks[name]", "read(file)"}
"""The texts of the files in ``sql/``."""
CONSTANTS = re.compile(r"[A-Z_]+(\[\w+\])?")
"""A constant of a module, or one of its entries; ``sql.SQL`` itself takes literals only, for mypy."""
PLUMBING = {
    ("base.py", "query"),
    ("search.py", "load"),
    ("work.py", "ask.query"),
    ("nearest.py", "query"),
}
"""Parameters that hand a statement on; whoever passes one is looked at in its place."""


def statements(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in RUNNERS | COMPOSERS:
                yield node, name


def assigned(tree: ast.AST, call: ast.Call, name: str) -> list[ast.expr]:
    """What a local name may be, in the innermost function around a call."""
    functions = [
        each
        for each in ast.walk(tree)
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
        and any(inner is call for inner in ast.walk(each))
    ]
    found: list[ast.expr] = []
    for each in ast.walk(functions[-1]) if functions else []:
        if isinstance(each, ast.Assign):
            for target in each.targets:
                if isinstance(target, ast.Name) and target.id == name:
                    found.append(each.value)
                if isinstance(target, ast.Tuple) and any(getattr(e, "id", "") == name for e in target.elts):
                    found.append(each.value)
    return found


def is_fixed(file: str, tree: ast.AST, call: ast.Call, node: ast.expr) -> bool:
    """Whether a statement comes from a named file, a literal, or pieces that are either."""
    source = ast.unparse(node)
    if (file, source) in PLUMBING or source in FROM_FILES or CONSTANTS.fullmatch(source):
        return True
    match node:
        case ast.Constant():
            return True
        case ast.IfExp():
            return all(is_fixed(file, tree, call, each) for each in (node.body, node.orelse))
        case ast.BinOp(op=ast.Add()):
            return all(is_fixed(file, tree, call, each) for each in (node.left, node.right))
        case ast.Subscript():  # a named statement: another name is a KeyError
            return bool(re.search(r"(statements|_sql|Statements\(.*\))$", ast.unparse(node.value)))
        case ast.Call(func=ast.Name(id="_fill"), args=[base, *_]):  # the same, in large.py
            return ast.unparse(base) == "statements"
        case ast.Call(
            func=ast.Attribute(attr="fill", value=base)
        ):  # its parts are composed, which mypy sees to
            return bool(re.search(r"(statements|_sql)$", ast.unparse(base)))
        case ast.Call(func=ast.Attribute(attr="as_bytes" | "format" | "join", value=ast.Constant())):
            return False
        case ast.Call(func=ast.Attribute(attr="as_bytes" | "join", value=value)):
            return is_fixed(file, tree, call, value)
        case ast.Call(func=ast.Attribute(attr="format", value=value)):
            values = assigned(tree, call, value.id) if isinstance(value, ast.Name) else [value]
            composed = all("SQL(" in ast.unparse(each) for each in values)
            return composed and is_fixed(file, tree, call, value)
        case ast.Call(func=ast.Attribute(attr="SQL")):
            return True  # looked at in its own place
        case ast.Call(func=ast.Attribute(attr="_settings")):
            return True  # a number, checked below
        case ast.Name():
            values = assigned(tree, call, node.id)
            return bool(values) and all(is_fixed(file, tree, call, each) for each in values)
        case _:
            return False


def offences(file: str, text: str) -> list[str]:
    tree = ast.parse(text)
    return [
        f"{file}:{call.lineno}: {ast.unparse(call)[:100]}"
        for call, _ in statements(tree)
        if not is_fixed(file, tree, call, call.args[0])
    ]


def test_no_statement_in_python_is_built_from_a_text_of_run_time() -> None:
    files = sorted(POSTGRES.glob("*.py"))
    assert len(files) > 15
    assert sum(len(list(statements(ast.parse(file.read_text())))) for file in files) > 80
    assert [bad for file in files for bad in offences(file.name, file.read_text())] == []
    # The one statement with a number in it.
    assert (
        'return SETTINGS + b"SET statement_timeout = %d" % max(1, round(self.timeout * 1000))'
        in (POSTGRES / "database.py").read_text()
    )


@pytest.mark.parametrize(
    "body",
    [
        'yield Ask(f"SELECT {key}".encode(), {})',
        'yield Ask(("SELECT %s" % key).encode(), {})',
        'connection.execute("SELECT " + key)',
        'connection.execute("SELECT {}".format(key))',
        "text = 'SELECT {}'\n    connection.execute(text.format(key))",
        "query = b'SELECT ' + key\n    yield Ask(query, {})",
        "yield Ask(sql.SQL(key).as_bytes(None), {})",
        "sql.SQL(f'{key} > 1')",
        "connection.execute(key)",
    ],
)
def test_the_lint_finds_each_way_to_build_one(body: str) -> None:
    assert offences("store.py", f"def run(connection, key):\n    {body}\n")


def test_no_statement_in_rust_is_built_from_a_text_of_run_time() -> None:
    """Statements are literals, or ``format!`` puts a constant list of columns before one."""
    seen = 0
    for file in sorted((ROOT / "rust/core/src").rglob("*.rs")):
        text = file.read_text()
        for found in re.finditer(
            r"\b(?:prepare|prepare_cached|execute|execute_batch|query_row)\(\s*([^\s\"])", text
        ):
            rest = text[found.end() - 1 :]
            seen += 1
            if rest.startswith("&format!("):
                literal = re.match(r'&format!\(\s*"((?:[^"\\]|\\.)*)"\s*\)', rest, re.DOTALL)
                assert literal, f"{file.name}: {rest[:80]}"
                assert set(re.findall(r"\{(\w*)\}", literal[1])) <= {"HEAD"}, f"{file.name}: {literal[1]}"
                assert re.search(r'const HEAD: &str =\s*"', text), file.name
            else:
                assert re.match(r"(\[|params!|\(|sql\b|step\b|statements\b|if |insert\b|replace\b)", rest), (
                    f"{file.name}: {rest[:80]}"
                )
    assert seen > 20
