"""Pictures as SVG inside a page. The style sheet colours them; they run no script and load nothing."""

import math
from collections.abc import Sequence
from html import escape

from roar_publisher.registry.lineages.pictures import ARTIFACT, GROUP, JOB, Node, Picture
from roar_publisher.registry.pages.addresses import artifact_address, job_address, lineage_address
from roar_publisher.registry.pages.layout import Box, Drawing, Point, Size, arrange

SIZES = {JOB: Size(208.0, 44.0), GROUP: Size(208.0, 44.0), ARTIFACT: Size(168.0, 40.0)}
CHARACTER_WIDTH = 7.3
"""Pixels of a character of the first line, to shorten texts. What is wider is clipped."""
NODE_NAMES = {JOB: "Job", ARTIFACT: "Artifact", GROUP: "Group of jobs"}
MOST_COUNTED = 999
"""Hidden neighbours that are counted; if there are more, the picture says so."""
PADDING = 10.0


def picture_section(picture: Picture, lineage_hash: str) -> str:
    """Return the part of a page that shows a picture; empty if it would have no nodes."""
    if not picture.nodes:
        return ""
    links = []
    if picture.centre or picture.group is not None:
        links.append(("The whole lineage", lineage_address(lineage_hash)))
    if picture.part > 1:
        links.append(("Previous part", lineage_address(lineage_hash, group=picture.group, part=picture.part - 1)))
    if picture.more:
        links.append(("Next part", lineage_address(lineage_hash, group=picture.group, part=picture.part + 1)))
    navigation = "".join(f'<a href="{escape(address)}#picture">{name}</a>' for name, address in links)
    about = f'<nav aria-label="Parts of the picture"><span>Shown: {escape(picture.about)}.</span>{navigation}</nav>'
    return f'<h2 id="picture">Picture</h2>{about}{picture_svg(picture, lineage_hash)}'


def picture_svg(picture: Picture, lineage_hash: str) -> str:
    """Return a picture. Each node is a link to its page; a node with hidden neighbours has one to a picture of them."""
    layout = arrange({node.key: SIZES[node.kind] for node in picture.nodes}, picture.edges)
    size = f'width="{layout.width:.0f}" height="{layout.height:.0f}"'
    count = f"{len(picture.nodes)} nodes and {len(picture.edges)} edges, from left to right"
    parts = [
        f'<div class="picture" role="region" aria-label="Picture of the lineage" tabindex="0"><svg {size}'
        f' viewBox="0 0 {layout.width:.0f} {layout.height:.0f}" role="group" aria-labelledby="picture-title"'
        ' aria-describedby="picture-desc">'
        f'<title id="picture-title">Graph of {escape(picture.about)}</title><desc id="picture-desc">{count}.</desc>'
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z"/></marker></defs>',
        _edges(picture, layout),
        *(_node(node, layout.places[node.key], lineage_hash, picture.centre) for node in picture.nodes),
        "</svg></div>",
    ]
    return "".join(parts)


def _edges(picture: Picture, layout: Drawing) -> str:
    paths = []
    for (source, target), route in zip(picture.edges, layout.routes, strict=True):
        near = ' class="near"' if picture.centre and picture.centre in (source, target) else ""
        paths.append(f'<path{near} d="{_curve(route)}"/>')
    return f'<g class="edges" aria-hidden="true">{"".join(paths)}</g>'


def _curve(route: Sequence[Point]) -> str:
    (x, y), *rest = route
    parts = [f"M{x:g} {y:g}"]
    for next_x, next_y in rest:
        bow = math.copysign(max(abs(next_x - x) / 2, 12.0), next_x - x)
        parts.append(f"C{x + bow:g} {y:g} {next_x - bow:g} {next_y:g} {next_x:g} {next_y:g}")
        x, y = next_x, next_y
    return "".join(parts)


def _node(node: Node, place: Box, lineage_hash: str, centre: str) -> str:
    classes = f"node {node.kind}{' failed' if node.failed else ''}{' centre' if node.key == centre else ''}"
    box = f'x="{place.x:g}" y="{place.y:g}" width="{place.width:g}" height="{place.height:g}"'
    current = ' aria-current="true"' if node.key == centre else ""
    spoken = escape(f"{NODE_NAMES[node.kind]}: {node.title}, {node.note}")
    parts = [
        f'<a class="{classes}" href="{escape(_address(node, lineage_hash))}" aria-label="{spoken}"{current}>'
        f'<title>{spoken}</title><rect {box} rx="{6 if node.kind != ARTIFACT else place.height / 2:g}"/>'
        f'<svg {box} aria-hidden="true"><text x="{_inset(node):g}" y="18">{_line(node, node.title, place)}</text>'
        f'<text class="note" x="{_inset(node):g}" y="{place.height - 9:g}">{_line(node, node.note, place)}</text>'
        "</svg></a>"
    ]
    if node.hidden and node.kind != GROUP:
        x, y = place.x + place.width, place.y + place.height
        count = str(node.hidden) if node.hidden <= MOST_COUNTED else f"{MOST_COUNTED}+"
        words = f"Show {count} more around this {node.kind}"
        parts.append(
            f'<a class="more" href="{escape(lineage_address(lineage_hash, node=node.name))}#picture"'
            f' aria-label="{words}"><title>{words}</title><rect x="{x - 44:g}" y="{y - 9:g}" width="44" height="17"'
            f' rx="8.5"/><text x="{x - 22:g}" y="{y + 3.5:g}" text-anchor="middle">+{count}</text></a>'
        )
    return "".join(parts)


def _address(node: Node, lineage_hash: str) -> str:
    if node.kind == JOB:
        return job_address(lineage_hash, node.name)
    if node.kind == ARTIFACT:
        return artifact_address(node.name)
    return f"{lineage_address(lineage_hash, group=node.name)}#picture"


def _inset(node: Node) -> float:
    return PADDING + (6.0 if node.kind == ARTIFACT else 0.0)


def _line(node: Node, text: str, place: Box) -> str:
    """Shorten a text to the width of its node. Of a command, the end of the program's path matters, not its start."""
    room = int((place.width - 2 * _inset(node)) / CHARACTER_WIDTH)
    text = " ".join(text.split())
    if node.kind == JOB and "/" in text.partition(" ")[0]:
        program, _, rest = text.partition(" ")
        text = f"{program.rpartition('/')[2]} {rest}".strip()
    return escape(text if len(text) <= room else f"{text[: room - 1]}…")
