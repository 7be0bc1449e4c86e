"""From codebooks and codes to a weight and back: the linear map of product codes and its transpose, in torch.

The layout is that of :class:`paring.forms.Product`: codebooks ``(stages, spaces, centroids, length)``, codes
``(stages, out, spaces, *places)``, weight ``(out, spaces * length, *places)``.
"""

from __future__ import annotations

import torch
from torch import Tensor


def code_rows(codes: Tensor, centroids: int) -> Tensor:
    """Rows of a stage's codebooks seen as ``(spaces * centroids, length)``: int64 ``(stages, out, spaces, places)``."""
    flat = codes.long().flatten(3) if codes.ndim > 3 else codes.long()[..., None]
    return flat + centroids * torch.arange(codes.shape[2], device=codes.device)[:, None]


def decode(codebooks: Tensor, rows: Tensor) -> Tensor:
    """The weight ``(out, spaces * length, places)``, stages added one after the other, as the form defines."""
    length = codebooks.shape[3]
    total = None
    for book, row in zip(codebooks, rows, strict=True):
        found = book.reshape(-1, length)[row]  # (out, spaces, places, length)
        total = found if total is None else total + found
    assert total is not None
    return total.transpose(2, 3).flatten(1, 2)


def gather_back(gradient: Tensor, rows: Tensor, shape: torch.Size) -> Tensor:
    """The transpose of :func:`decode`: every codeword's sum over its members.

    Args:
        gradient: ``(out, spaces * length, places)``.
        rows: from :func:`code_rows`.
        shape: of the codebooks.

    Returns:
        tensor of that shape; summed in double precision, a codeword may have very many members.
    """
    stages, spaces, centroids, length = shape
    pieces = gradient.unflatten(1, (spaces, length)).transpose(2, 3).reshape(-1, length).double()
    summed = pieces.new_zeros(stages, spaces * centroids, length)
    for stage in range(stages):
        summed[stage].index_add_(0, rows[stage].reshape(-1), pieces)
    return summed.reshape(shape).to(gradient.dtype)


class Decode(torch.autograd.Function):
    """:func:`decode` whose backward is :func:`gather_back`."""

    @staticmethod
    def forward(ctx, codebooks: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        ctx.books = codebooks.shape
        return decode(codebooks, rows)

    @staticmethod
    def backward(ctx, *grads: Tensor):
        (rows,) = ctx.saved_tensors
        return gather_back(grads[0], rows, ctx.books), None
