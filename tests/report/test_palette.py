"""The colours of plots: any two are apart for colour-blind readers too, and stand out from both papers."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from trie.report.html.theme import DASHES, GREY, PALETTE, SHAPES

# Of linear RGB at full severity: Machado, Oliveira, Fernandes 2009, "A physiologically-based model for simulation of
# color vision deficiency".
READERS = {
    "all cones": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = np.array([0.95047, 1.0, 1.08883])
APART = 12.0  # CIE76; the palette before had pairs at 2.8 and 6.5
PAPERS = ("#ffffff", "#171b22")

Vector = NDArray[np.float64]


def linear(colour: str) -> Vector:
    coded = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)


def lab(rgb: Vector) -> Vector:
    ratio = TO_XYZ @ rgb / WHITE
    x, y, z = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("reader", READERS)
def test_any_two_colours_are_apart(reader: str):
    seen = {colour: lab(np.clip(np.array(READERS[reader]) @ linear(colour), 0, 1)) for colour in (*PALETTE, GREY)}
    near = {pair: float(np.linalg.norm(seen[pair[0]] - seen[pair[1]])) for pair in combinations(seen, 2)}
    assert min(near.values()) >= APART, near


@pytest.mark.parametrize("paper", PAPERS)
def test_every_colour_stands_out_from_the_paper(paper: str):
    """3 : 1 is what WCAG 2.2 asks of graphics."""
    light = {colour: float(TO_XYZ[1] @ linear(colour)) + 0.05 for colour in (*PALETTE, GREY, paper)}
    contrast = {colour: max(light[colour], light[paper]) / min(light[colour], light[paper]) for colour in PALETTE}
    assert min(contrast.values()) >= 3.0, contrast


def test_every_hue_has_a_dash_and_a_shape_of_its_own():
    assert len(set(PALETTE)) == len({tuple(dash) for dash in DASHES}) == len(set(SHAPES)) == len(PALETTE)
