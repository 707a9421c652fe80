"""Asynchronous generators are closed by whoever stops reading, not by the garbage collector at any later moment."""

import ast

from tests.support.sources import product_modules

OF_LIBRARIES = {"aiter_stream", "stream"}
"""Methods of httpcore2 and Starlette. The response or request that they belong to is closed itself."""


def called(node: ast.AST) -> str | None:
    """The function whose result `async for` reads at this node, if it reads one without a name."""
    if isinstance(node, ast.AsyncFor) or (isinstance(node, ast.comprehension) and node.is_async):
        match node.iter:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                return name
    return None


def test_such_loops_are_found() -> None:
    source = "async def f():\n async for a in pages(): pass\n return [b async for b in x.all()]"
    assert {called(node) for node in ast.walk(ast.parse(source))} == {None, "pages", "all"}


def test_no_loop_reads_a_generator_that_only_the_collector_can_close() -> None:
    found = {
        (str(path), name)
        for path, tree in product_modules().items()
        for node in ast.walk(tree)
        if (name := called(node)) is not None
    }
    assert {name for _, name in found} <= OF_LIBRARIES, found
