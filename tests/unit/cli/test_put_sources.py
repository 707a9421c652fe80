"""Which file a put means that is typed in a subfolder of its project."""

from pathlib import Path

import pytest

from roar_publisher.cli.publish.options import Options
from roar_publisher.publishing.order import PutOrder
from roar_publisher.state.errors import UsageProblem


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name in (".roar", "sub/deep", "outputs"):
        (root / name).mkdir(parents=True)
    for name in ("root.bin", "both.bin", "sub/both.bin", "sub/here.bin", "sub/@1", "outputs/x.bin"):
        (root / name).touch()
    (root / "sub" / "dangling").symlink_to("nowhere")
    (tmp_path / "outside.bin").touch()
    return root


def sources_of(cwd: Path, *typed: str) -> tuple[str, ...]:
    order = Options(put=PutOrder(sources=typed, destination="/store", message="v1")).order(cwd)
    assert order.put is not None
    return order.put.sources


@pytest.mark.parametrize(
    ("folder", "typed", "meant"),
    [
        ("sub", "here.bin", "sub/here.bin"),
        ("sub", "./here.bin", "sub/here.bin"),
        ("sub", "deep", "sub/deep"),
        ("sub", "dangling", "sub/dangling"),
        ("sub", "../root.bin", "root.bin"),
        ("sub", ".", "sub"),
        ("sub", "..", "."),
        ("sub", "../../outside.bin", "../outside.bin"),
        ("sub", "root.bin", "root.bin"),
        ("sub", "outputs/", "outputs/"),
        ("sub", "sub/here.bin", "sub/here.bin"),
        ("sub", "@1", "@1"),
        ("sub", "missing.bin", "missing.bin"),
        ("sub", "/absolute.bin", "/absolute.bin"),
        ("sub/deep", "../here.bin", "sub/here.bin"),
        (".", "both.bin", "both.bin"),
        (".", "./root.bin", "./root.bin"),
        ("..", "outside.bin", "outside.bin"),
    ],
)
def test_a_path_is_one_of_the_current_folder_or_else_of_the_root(
    root: Path, folder: str, typed: str, meant: str
) -> None:
    assert sources_of((root / folder).resolve(), typed) == (meant,)


def test_a_path_that_is_in_both_is_refused(root: Path) -> None:
    with pytest.raises(UsageProblem, match=r"both\.bin is in this folder and in the project's root") as raised:
        sources_of(root / "sub", "here.bin", "both.bin")
    assert raised.value.next_step == f"name ./both.bin, or {root}/both.bin"
    assert sources_of(root / "sub", "./both.bin", f"{root}/both.bin") == ("sub/both.bin", f"{root}/both.bin")
