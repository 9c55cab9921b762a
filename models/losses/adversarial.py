"""Adversarial losses: a discriminator's scores of sharp and of restored images to a scalar.

Scores are logits or plain numbers of any shape. "-d" is for the discriminator, "-g" for the generator.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Means = tuple[Tensor, Tensor]  # of earlier sharp and restored scores, in place of those of the scores at hand


def ragan_ls_d(sharp_scores: Tensor, restored_scores: Tensor, means: Means | None = None) -> Tensor:
    """Relativistic average least squares: E[(D(x) - E D(G) - 1)^2] + E[(D(G) - E D(x) + 1)^2].

    Shape: two score tensors -> scalar. means: two numbers, E D(x) and E D(G), taken elsewhere (over a pool of scores).
    Zero if every sharp score is above the mean restored score by 1, and the other way round.
    Source: Kupyn et al., DeblurGAN-v2, ICCV 2019, arXiv:1908.03826, equation 1.
    """
    sharp_mean, restored_mean = means or (sharp_scores.mean(), restored_scores.mean())
    above, below = sharp_scores - restored_mean, restored_scores - sharp_mean
    return (above - 1).square().mean() + (below + 1).square().mean()


def ragan_ls_g(sharp_scores: Tensor, restored_scores: Tensor, means: Means | None = None) -> Tensor:
    """`ragan_ls_d` with the sharp and the restored scores swapped; means in the order of `ragan_ls_d`."""
    return ragan_ls_d(restored_scores, sharp_scores, means[::-1] if means else None)


def ragan_d(sharp_scores: Tensor, restored_scores: Tensor) -> Tensor:
    """Relativistic average GAN: -E[log s(D(x) - E D(G))] - E[log(1 - s(D(G) - E D(x)))], s the sigmoid.

    Shape: two tensors of logits -> scalar; 2 log 2 where nothing is told apart.
    Source: Wang et al., ESRGAN, ECCVW 2018, arXiv:1809.00219, equation 1. The authors' program takes half of the sum
    for the discriminator; this is the equation.
    """
    above = sharp_scores - restored_scores.mean()
    below = restored_scores - sharp_scores.mean()
    return functional.softplus(-above).mean() + functional.softplus(below).mean()


def ragan_g(sharp_scores: Tensor, restored_scores: Tensor) -> Tensor:
    """`ragan_d` with the sharp and the restored scores swapped. Source: ESRGAN, equation 2."""
    return ragan_d(restored_scores, sharp_scores)


def wgan_d(sharp_scores: Tensor, restored_scores: Tensor) -> Tensor:
    """Critic of the Wasserstein GAN: E D(G) - E D(x). Shape: two score tensors -> scalar, any sign.

    Source: Arjovsky et al., ICML 2017, arXiv:1701.07875; as DeblurGAN uses it (Kupyn et al., CVPR 2018).
    """
    return restored_scores.mean() - sharp_scores.mean()


def wgan_g(sharp_scores: Tensor, restored_scores: Tensor) -> Tensor:
    """Generator of the Wasserstein GAN: -E D(G); the sharp scores play no part. Source: as `wgan_d`."""
    return -restored_scores.mean()


def lsgan_d(sharp_scores: Tensor, restored_scores: Tensor) -> Tensor:
    """Least squares: 1/2 E[(D(x) - 1)^2] + 1/2 E[D(G)^2]. Shape: two score tensors -> scalar.

    Source: Mao et al., ICCV 2017, arXiv:1611.04076, equation 9.
    """
    return ((sharp_scores - 1).square().mean() + restored_scores.square().mean()) / 2


def lsgan_g(sharp_scores: Tensor, restored_scores: Tensor) -> Tensor:
    """1/2 E[(D(G) - 1)^2]; the sharp scores play no part. Source: as `lsgan_d`."""
    return (restored_scores - 1).square().mean() / 2


def gan_d(sharp_scores: Tensor, restored_scores: Tensor) -> Tensor:
    """The first GAN: -E[log s(D(x))] - E[log(1 - s(D(G)))]. Shape: two tensors of logits -> scalar.

    Source: Goodfellow et al., NeurIPS 2014, equation 1; as Real-ESRGAN uses it (Wang et al., ICCVW 2021).
    """
    return functional.softplus(-sharp_scores).mean() + functional.softplus(restored_scores).mean()


def gan_g(sharp_scores: Tensor, restored_scores: Tensor) -> Tensor:
    """Non-saturating generator of the first GAN: -E[log s(D(G))]. Source: Goodfellow et al., section 3."""
    return functional.softplus(-restored_scores).mean()


def gradient_penalty(
    discriminator: Callable[[Tensor], Tensor],
    sharp: Tensor,
    restored: Tensor,
    mix: Tensor | None = None,
    weight: float = 10.0,
    norm: str = "image",
) -> Tensor:
    """WGAN-GP: weight * E[(|gradient of D at z| - 1)^2], z = mix * sharp + (1 - mix) * restored.

    mix: one number in [0, 1] per image, drawn here if it is not given. norm: over an image's values ("image"), or over
    the channels of every pixel ("pixel", DeblurGAN's program). Range: that of the discriminator, on which the gradient
    depends. Shape: images [B, C, H, W], mix [B] -> scalar. Source: Gulrajani et al., NeurIPS 2017, arXiv:1704.00028,
    equation 3 (weight 10).
    """
    if mix is None:
        mix = torch.rand(sharp.shape[0], device=sharp.device, dtype=sharp.dtype)
    mix = mix.reshape(-1, *[1] * (sharp.ndim - 1))  # [B, 1, 1, 1]
    between = (mix * sharp.detach() + (1 - mix) * restored.detach()).requires_grad_()
    with torch.enable_grad():
        scores = discriminator(between)
        (gradient,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
    # The small number keeps the derivative of the root finite where the gradient is zero.
    squares = gradient.flatten(1).square().sum(dim=1) if norm == "image" else gradient.square().sum(dim=1)
    return weight * ((squares + 1e-12).sqrt() - 1).square().mean()  # of [B], or of [B, H, W]


def r1(discriminator: Callable[[Tensor], Tensor], sharp: Tensor, weight: float = 10.0) -> Tensor:
    """R1: weight / 2 * E[|gradient of D at the sharp images|^2], the norm over an image's values.

    Range: that of the discriminator, on which the gradient depends: StyleGAN2's and GFPGAN's is [-1, 1].
    Shape: images [B, C, H, W] -> scalar. Source: Mescheder et al., ICML 2018, arXiv:1801.04406, equation 9 (weight 10,
    as StyleGAN2 and GFPGAN use it).
    """
    sharp = sharp.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(discriminator(sharp).sum(), sharp, create_graph=True)
    return weight / 2 * gradient.flatten(1).square().sum(dim=1).mean()
