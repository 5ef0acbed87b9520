"""Answers to the exercise on the best change of a given rank.

Wrong ones come with words that the message must contain.
"""

from typing import Any

import numpy as np
import torch


def _svd(delta: Any) -> Any:
    return torch.linalg.svd(delta, full_matrices=False)


def wrong_rank() -> dict[str, tuple[Any, str]]:
    def missing(delta: Any, rank: int) -> Any:
        u, _, vh = _svd(delta)
        return u[:, :rank], vh[:rank]

    def twice(delta: Any, rank: int) -> Any:
        u, s, vh = _svd(delta)
        return u[:, :rank] * s[:rank], s[:rank, None] * vh[:rank]

    def root(delta: Any, rank: int) -> Any:
        u, s, vh = _svd(delta)
        return u[:, :rank] * s[:rank].sqrt(), vh[:rank]

    def smallest(delta: Any, rank: int) -> Any:
        u, s, vh = _svd(delta)
        return u[:, -rank:] * s[-rank:], vh[-rank:]

    def v_not_vh(delta: Any, rank: int) -> Any:
        u, s, vh = torch.linalg.svd(delta)
        return u[:, :rank] * s[:rank], vh[:, :rank].T

    def swapped(delta: Any, rank: int) -> Any:
        u, s, vh = _svd(delta)
        return s[:rank, None] * vh[:rank], u[:, :rank]

    def formed(delta: Any, rank: int) -> Any:
        u, s, vh = _svd(delta)
        return u[:, :rank] * s[:rank] @ vh[:rank]

    def three(delta: Any, rank: int) -> Any:
        u, s, vh = _svd(delta)
        return u[:, :rank], s[:rank], vh[:rank]

    def too_many(delta: Any, rank: int) -> Any:
        u, s, vh = _svd(delta)
        return u * s, vh

    def rows(delta: Any, rank: int) -> Any:
        return torch.eye(len(delta))[:, :rank], delta[:rank].clone()

    def columns(delta: Any, rank: int) -> Any:
        return delta[:, :rank].clone(), torch.eye(delta.shape[1])[:rank]

    def half_hearted(delta: Any, rank: int) -> Any:
        torch.manual_seed(0)
        b = torch.randn(len(delta), rank)
        return b, torch.linalg.lstsq(b, delta).solution

    def numpy(delta: Any, rank: int) -> Any:
        u, s, vh = np.linalg.svd(delta.numpy(), full_matrices=False)
        return u[:, :rank] * s[:rank], vh[:rank]

    def centred(delta: Any, rank: int) -> Any:
        delta -= delta.mean()
        u, s, vh = _svd(delta)
        return u[:, :rank] * s[:rank], vh[:rank]

    return {
        "no singular values": (missing, "the singular values are missing"),
        "singular values twice": (twice, "in both factors, so the product has them squared"),
        "root once": (root, "only the square root of the singular values"),
        "the smallest": (smallest, "keeps the smallest singular values"),
        "columns of Vh": (v_not_vh, "returns V transposed already"),
        "the first rows": (rows, "the first rows of delta"),
        "the first columns": (columns, "the first columns of delta"),
        "a random subspace": (half_hearted, "the distance from b @ a to delta can be"),
        "swapped": (swapped, "The two factors are swapped"),
        "the product": (formed, "must be the pair (b, a), got a torch.Tensor"),
        "three parts": (three, "must be the pair (b, a), got a tuple of 3"),
        "full rank": (too_many, "must have the shape (out, rank) = (8, 2), got (8, 5)"),
        "numpy": (numpy, "b must be a torch.Tensor, got a numpy.ndarray"),
        "writes into delta": (centred, "writes into `delta`"),
    }


def right_rank() -> dict[str, Any]:
    def shared(delta: Any, rank: int) -> Any:
        u, s, v = torch.svd(delta)
        root = s[:rank].sqrt()
        return [u[:, :rank] * root, (v[:, :rank] * root).T]

    def eigen(delta: Any, rank: int) -> Any:
        vectors = torch.linalg.eigh(delta.double() @ delta.double().T).eigenvectors[:, -rank:]
        return vectors, vectors.T @ delta.double()

    def alternating(delta: Any, rank: int) -> Any:
        a = torch.randn(rank, delta.shape[1], generator=torch.Generator().manual_seed(0))
        for _ in range(300):
            b = torch.linalg.lstsq(a.T, delta.T).solution.T
            a = torch.linalg.lstsq(b, delta).solution
        return b, a

    def one_by_one(delta: Any, rank: int) -> Any:
        left, bs, as_ = delta.clone(), [], []
        for _ in range(rank):
            u, s, vh = torch.linalg.svd(left)
            bs.append(-u[:, 0])
            as_.append(-s[0] * vh[0])
            left = left - torch.outer(bs[-1], as_[-1])
        return torch.stack(bs, 1), torch.stack(as_)

    return {
        "root in both": shared,
        "eigenvectors": eigen,
        "alternating least squares": alternating,
        "one direction at a time": one_by_one,
    }
