"""Turn streams and heads into the directions that carry most: matrices that undo each other, in closed form.

All in float64. Shape suffixes: E embedding, W = E - 1 directions of mean zero, N those that nothing flows through, D
channels of a head, G = E + 1 features of a norm and a constant 1, R the smaller side of a triangular factor.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Relative to the largest eigenvalue of a second moment: below it nothing flows.
FLOOR = 1e-9
# Condition number beyond which a head is left as it is.
_ILL = 1e10


def principal_rotation(moment_EE: Tensor) -> Tensor:
    """R = W U^T + (1/E) 1 1^T: orthogonal, R 1 = 1, so it commutes with a layer norm without weights.

    U holds the eigenvectors of the moment within the vectors of mean zero, largest eigenvalue first; W the first
    E - 1 columns of the Householder reflection that swaps 1/sqrt(E) and e_E. Row i of R is then u_i up to a share of
    1/E, and the last channel carries the mean. Applied to what it made itself, it is the identity.

    Args:
        moment_EE: symmetric, positive semidefinite.
    """
    size = len(moment_EE)
    ones_E = moment_EE.new_full((size,), size**-0.5)
    normal_E = ones_E.clone()
    normal_E[-1] -= 1.0
    basis_EE = torch.eye(size, dtype=moment_EE.dtype) - 2 * torch.outer(normal_E, normal_E) / (normal_E @ normal_E)
    within_EW = basis_EE[:, :-1]
    small_WW = within_EW.T @ moment_EE @ within_EW
    values_W, vectors_WW = torch.linalg.eigh(small_WW)
    # Directions that nothing flows through are all alike: the order of W decides.
    empty = values_W <= FLOOR * values_W[-1].clamp_min(1e-300)
    null_WN, order_W = vectors_WW[:, empty], torch.arange(size - 1, dtype=moment_EE.dtype).flip(0)
    within_null = torch.linalg.eigh(null_WN.T @ (order_W[:, None] * null_WN)).eigenvectors
    vectors_WW = torch.cat([null_WN @ within_null, vectors_WW[:, ~empty]], dim=1).flip(1)
    return within_EW @ _signed(vectors_WW).T @ within_EW.T + torch.outer(ones_E, ones_E)


def align_scores(q_DG: Tensor, k_DG: Tensor) -> tuple[Tensor, Tensor]:
    """A and A^-T with (A q)^T (A^-T k) = q^T k, so that channel i is the i-th singular direction of q^T k.

    Both identities where the head is too ill-conditioned to invert.
    """
    q_RR, k_RR = _triangle(q_DG.T), _triangle(k_DG.T)
    left, values, _ = torch.linalg.svd(q_RR @ k_RR.T)
    left = _signed(left)
    if values[-1] * _ILL < values[0] or torch.linalg.cond(q_RR) > _ILL:
        return torch.eye(len(q_DG), dtype=q_DG.dtype), torch.eye(len(q_DG), dtype=q_DG.dtype)
    root = values.sqrt()[:, None]
    return root * torch.linalg.solve(q_RR, left).T, left.T @ q_RR / root


def align_values(v_DG: Tensor, out_ED: Tensor) -> tuple[Tensor, Tensor]:
    """B and B^-1 with (out B^-1)(B v) = out v, so that channel i is the i-th singular direction of out v."""
    out_RR, v_RR = _triangle(out_ED), _triangle(v_DG.T)
    left, values, _ = torch.linalg.svd(out_RR @ v_RR.T)
    left = _signed(left)
    if values[-1] * _ILL < values[0] or torch.linalg.cond(out_RR) > _ILL:
        return torch.eye(len(v_DG), dtype=v_DG.dtype), torch.eye(len(v_DG), dtype=v_DG.dtype)
    root = values.sqrt()
    return left.T @ out_RR / root[:, None], torch.linalg.solve(out_RR, left) * root


def _signed(vectors: Tensor) -> Tensor:
    """Columns with their largest entry positive: eigenvectors have no sign of their own."""
    rows = vectors.abs().argmax(dim=0)
    return vectors * vectors[rows, torch.arange(vectors.shape[1])].sign()


def _triangle(tall: Tensor) -> Tensor:
    """R of the QR decomposition with a positive diagonal, which makes it unique."""
    upper: Tensor = torch.linalg.qr(tall, mode="r").R
    sign = upper.diagonal().sign()
    return upper * torch.where(sign == 0, 1.0, sign)[:, None]
