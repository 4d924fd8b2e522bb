"""Least squares over all blocks of time, and without each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from trie.metrics.columns import Floats

RANK = 1e-10  # below which a direction in which the requests do not differ is left out


@dataclass(frozen=True, slots=True)
class Fit:
    """Coefficients of features, from all blocks and from all but each."""

    coefficients: Floats  # (features)
    without: Floats  # (blocks, features)
    r2: float
    left_out_error: float  # squared errors of each block as the others predict it, summed


@dataclass(frozen=True, slots=True)
class BlockSums:
    """The normal equations of each block: features with features, features with the target, the target squared."""

    xx: Floats  # (blocks, features, features)
    xy: Floats  # (blocks, features)
    yy: Floats  # (blocks)
    y: Floats  # (blocks)
    rows: Floats  # (blocks)

    @classmethod
    def of(cls, x: Floats, y: Floats, block: NDArray[np.intp], count: int) -> BlockSums:
        """Of rows and the block of each, which is 0 or above."""
        cuts = np.r_[0, np.cumsum(np.bincount(block, minlength=count))]
        if count > 1:
            order = np.argsort(block.astype(np.uint8), kind="stable")
            x, y = x[order], y[order]
        parts = [(x[begin:end], y[begin:end]) for begin, end in pairwise(cuts)]
        return cls(
            xx=np.array([features.T @ features for features, _ in parts]),
            xy=np.array([features.T @ target for features, target in parts]),
            yy=np.array([target @ target for _, target in parts]),
            y=np.array([target.sum() for _, target in parts]),
            rows=np.diff(cuts).astype(np.float64),
        )

    def __add__(self, other: BlockSums) -> BlockSums:
        return BlockSums(*(getattr(self, part.name) + getattr(other, part.name) for part in fields(self)))

    def fit(self, columns: Sequence[int]) -> Fit:
        """Fit some of the features; the coefficients of the others are 0."""
        kept = np.ix_(range(len(self.xx)), columns, columns)
        xx, xy = self.xx[kept], self.xy[:, columns]
        total_xx, total_xy = xx.sum(0), xy.sum(0)
        b = _solve(total_xx[None], total_xy[None])[0]
        without = _solve(total_xx - xx, total_xy - xy)
        errors = self.yy - 2 * (without * xy).sum(1) + np.einsum("bi,bij,bj->b", without, xx, without)
        residual = float(self.yy.sum() - 2 * b @ total_xy + b @ total_xx @ b)
        spread = float(self.yy.sum() - self.y.sum() ** 2 / self.rows.sum())
        return Fit(
            coefficients=_placed(b[None], columns, self.xx.shape[-1])[0],
            without=_placed(without, columns, self.xx.shape[-1]),
            r2=1.0 - residual / spread if spread > 0 else 0.0,
            left_out_error=float(errors.sum()),
        )


def _solve(xx: Floats, xy: Floats) -> Floats:
    """Solutions of several systems at once, of least norm where features depend on one another."""
    scale = np.sqrt(np.einsum("bii->bi", xx))
    scale[scale == 0] = 1.0
    scaled = xx / (scale[:, :, None] * scale[:, None, :])
    solved: Floats = np.einsum("bij,bj->bi", np.linalg.pinv(scaled, rcond=RANK, hermitian=True), xy / scale) / scale
    return solved


def _placed(coefficients: Floats, columns: Sequence[int], features: int) -> Floats:
    placed = np.zeros((len(coefficients), features))
    placed[:, columns] = coefficients
    return placed
