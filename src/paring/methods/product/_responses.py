"""Product codes chosen for a layer's answers: codebooks by least squares, codes by trying every centroid.

Wu, Leng, Wang, Hu, Cheng, "Quantized convolutional neural networks for mobile devices", CVPR 2016, arXiv 1512.06473:
with inputs ``X`` of the layer in the quantized network and the answers ``Y`` of the float network,

    minimize over C, B   |Y - W(C, B) X|^2  +  damping |W(C, B) - W_float|^2,

by turns over the codebooks and the codes, so that the objective never rises. The paper takes the codebooks of one
sub-space at a time; here all of them, residual stages included, are one linear least-squares problem, solved by
conjugate gradients. The codes are taken sub-vector by sub-vector given all others, every centroid tried, as there. The
damping is ours: few images must not decide about weights that they hardly excite.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from paring.errors import ArgumentError
from paring.methods._least_squares import LeastSquares
from paring.methods.product._codewords import code_rows, decode, gather_back

#: Relative gain below which a code is left as it is: the rounding of float32.
_GAIN = 1e-5


@dataclass
class ResponseProblem:
    """A layer's weight as the solution of ``min |Y - W A|^2 + ridge |W - W_float|^2``, group by group.

    Attributes:
        weight: the float weight, ``(groups, out / groups, columns)``.
        a: ``(groups, columns, r)``: the inputs themselves, or any matrix with the same ``A A^T``.
        y: ``(groups, out / groups, r)``, the answers, or what has the same ``Y A^T``.
        ridge: ``(groups, 1, 1)``.
        h: ``A A^T`` where it is known, ``(groups, columns, columns)``; saves a product.
    """

    weight: Tensor
    a: Tensor
    y: Tensor
    ridge: Tensor
    h: Tensor | None = None

    @classmethod
    def of_inputs(cls, weight: Tensor, inputs: Tensor, answers: Tensor, damping: float = 0.01) -> ResponseProblem:
        """From all inputs ``(groups, columns, n)`` and answers ``(groups, out / groups, n)``."""
        ridge = _ridge((inputs**2).sum(2), inputs.shape[2], damping)
        return cls(weight, inputs, answers, ridge)

    @classmethod
    def of_moments(cls, moments: LeastSquares, damping: float = 0.01) -> ResponseProblem:
        """From second moments: ``A`` is the Cholesky factor of ``H``, so ``A A^T = H`` and ``Y A^T = C``.

        Raises:
            ArgumentError: if the moments are not finite.
        """
        if not moments.h.isfinite().all() or not moments.c.isfinite().all():
            raise ArgumentError("layer's inputs or answers are not finite")
        diagonal = moments.h.diagonal(dim1=1, dim2=2)
        ridge = _ridge(diagonal, moments.count, damping)
        eye = torch.eye(diagonal.shape[1], dtype=torch.float64, device=diagonal.device)
        share, failed = 1e-7, torch.ones(1)
        while failed.any():  # sums in float32 are not quite positive definite where inputs are few or alike
            share *= 10
            tiny = (share * diagonal.mean(1).clamp_min(1e-12))[:, None, None].double()
            h = moments.h.double() + tiny * eye
            factor, failed = torch.linalg.cholesky_ex(h)
        wanted = moments.c.double() + tiny * moments.weight.double()
        y = torch.linalg.solve_triangular(factor, wanted.transpose(1, 2), upper=False).transpose(1, 2)
        kind = moments.h.dtype
        return cls(moments.weight, factor.to(kind), y.to(kind), ridge, h.to(kind))

    def pull(self, weight: Tensor) -> Tensor:
        """Minus half the gradient at a weight, of its shape."""
        return (self.y - weight @ self.a) @ self.a.transpose(1, 2) + self.ridge * (self.weight - weight)

    def curvature(self, change: Tensor) -> Tensor:
        """Half the Hessian times a change of the weight."""
        curved = (change @ self.a) @ self.a.transpose(1, 2) if self.h is None else change @ self.h
        return curved + self.ridge * change


def fit_codes(
    problem: ResponseProblem, codebooks: Tensor, codes: Tensor, *, rounds: int = 3, bits: int = 32
) -> tuple[Tensor, Tensor]:
    """Improve product codes for a layer's answers.

    Args:
        problem: the layer.
        codebooks: float ``(stages, spaces, centroids, length)``, where to begin.
        codes: int ``(stages, out, spaces, *places)``.
        rounds: most turns over codebooks and codes; they end sooner if no code changes.
        bits: 32, or 16 for codebooks that half precision holds; the codes are then chosen once more for these.

    Returns:
        codebooks and codes, of the same shapes and types.
    """
    shape, books = codes.shape, codebooks.to(problem.weight.dtype)
    codes = codes.flatten(3).long() if codes.ndim > 3 else codes.long()[..., None]
    books = fit_codebooks(problem, books, codes)
    for _ in range(rounds):
        codes, changed = reassign(problem, books, codes)
        if not changed:
            break
        books = fit_codebooks(problem, books, codes)
    if bits == 16:
        books = books.half().to(books.dtype)
        codes, _ = reassign(problem, books, codes)
    return books.to(codebooks.dtype), codes.reshape(shape).to(torch.int32)


def fit_codebooks(problem: ResponseProblem, codebooks: Tensor, codes: Tensor, steps: int = 15) -> Tensor:
    """All codebooks at once, the codes given: preconditioned conjugate gradients from where they are.

    Args:
        problem: the layer.
        codebooks: ``(stages, spaces, centroids, length)``.
        codes: int64 ``(stages, out, spaces, places)``.
        steps: most iterations; they end sooner at 1e-4 of the first gradient.
    """
    rows = code_rows(codes, codebooks.shape[2])
    groups = problem.weight.shape

    def weight_of(books: Tensor) -> Tensor:
        return decode(books, rows).reshape(groups)

    def back(gradient: Tensor) -> Tensor:
        return gather_back(gradient.reshape(codes.shape[1], -1, codes.shape[3]), rows, codebooks.shape)

    scale = (problem.a**2).sum(2)[:, None, :] + problem.ridge
    scale = back(scale.expand(groups)).clamp_min(torch.finfo(scale.dtype).tiny)
    gradient = back(problem.pull(weight_of(codebooks)))
    ready = gradient / scale
    along, norm = ready, float((gradient * ready).sum())
    least = 1e-8 * norm
    for _ in range(steps):
        if norm <= least:
            break
        curved = back(problem.curvature(weight_of(along)))
        step = norm / max(float((along * curved).sum()), torch.finfo(scale.dtype).tiny)
        codebooks = codebooks + step * along
        gradient = gradient - step * curved
        ready = gradient / scale
        last, norm = norm, float((gradient * ready).sum())
        along = ready + norm / last * along
    return codebooks


def reassign(problem: ResponseProblem, codebooks: Tensor, codes: Tensor) -> tuple[Tensor, int]:
    """Each sub-vector's best centroid given all others, one after the other; codes and how many changed.

    Setting a sub-vector ``w`` with inputs ``A_p`` and gradient ``g`` to ``c`` changes the objective by
    ``c^T H c - 2 c^T (H w + g)`` less that of ``w``, with ``H = A_p A_p^T + ridge I``.
    """
    _, spaces, centroids, length = codebooks.shape
    groups, places = problem.weight.shape, codes.shape[3]
    codes, changed = codes.clone(), 0
    weight = decode(codebooks, code_rows(codes, centroids)).reshape(groups)
    left = problem.y - weight @ problem.a
    eye = torch.eye(length, dtype=weight.dtype, device=weight.device)
    for m in range(spaces):
        for place in range(places):
            columns = slice(m * length * places + place, (m + 1) * length * places, places)
            a = problem.a[:, columns]
            h = a @ a.transpose(1, 2) + problem.ridge * eye
            for stage, book in enumerate(codebooks[:, m]):
                now = codes[stage, :, m, place].view(groups[:2])
                have = book[now]
                pull = left @ a.transpose(1, 2) + problem.ridge * (problem.weight - weight)[:, :, columns]
                cost = ((book @ h) * book).sum(2)[:, None] - 2 * (have @ h + pull) @ book.t()
                least, best = cost.min(2)
                held = cost.gather(2, now[:, :, None])[:, :, 0]
                better = held - least > _GAIN * (held.abs() + least.abs())
                if not better.any():
                    continue
                now = torch.where(better, best, now)
                change = book[now] - have
                codes[stage, :, m, place] = now.reshape(-1)
                weight[:, :, columns] += change
                left -= change @ a
                changed += int(better.sum())
    return codes, changed


def _ridge(diagonal: Tensor, count: int, damping: float) -> Tensor:
    """``damping`` of the mean diagonal of ``H``, ``(groups, 1, 1)``."""
    return (damping * diagonal.mean(1).clamp_min(1e-12))[:, None, None]
