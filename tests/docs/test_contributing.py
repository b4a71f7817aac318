"""What CONTRIBUTING says of the tests is so."""

import ast
import re

from tests.docs.blocks import ROOT


def test_the_page_says_how_many_test_functions_there_are():
    trees = (ast.parse(path.read_text()) for path in (ROOT / "tests").rglob("*.py"))
    functions = sum(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        for tree in trees
        for node in ast.walk(tree)
    )
    found = re.search(r"^([\d,]+) test functions", (ROOT / "CONTRIBUTING.md").read_text(), re.M)
    assert found is not None
    said = int(found[1].replace(",", ""))
    assert abs(said - functions) <= functions * 0.03, f"there are {functions:,}"
