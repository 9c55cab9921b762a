"""Counting multiply-accumulate operations."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any


def counted_macs(work: Callable[[], object]) -> int:
    """Multiplications of the convolutions (also transposed, grouped, deformable) and matrix products that `work` runs.

    Half of torch's count of floating-point operations. Not counted, as in published figures: sums, norms, activations,
    resampling, and products element by element, to which STFAN's filters belong.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    extra: dict[Any, Any] = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_operations}
    if hasattr(torch.ops.torchvision, "deform_conv2d"):
        extra[torch.ops.torchvision.deform_conv2d] = deformable_operations
    counter = FlopCounterMode(display=False, custom_mapping=extra)
    with counter:
        work()
    return counter.get_total_flops() // 2


def attention_operations(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], *others: object, **_: object
) -> int:
    """Floating-point operations of fused attention, which torch itself counts on a GPU only.

    Shape: query [B, heads, L, C], key [B, heads, S, C], value [B, heads, S, D].
    """
    batch, heads, length, channels = query
    return 2 * batch * heads * length * key[2] * (channels + value[3])


def deformable_operations(
    image: Sequence[int], weight: Sequence[int], *others: object, out_shape: Sequence[int], **_: object
) -> int:
    """Floating-point operations of one deformable convolution, from the shapes, without the sampling.

    Shape: weight [outputs, inputs / groups, rows, columns], out_shape [B, outputs, H, W].
    """
    return 2 * math.prod(out_shape) * math.prod(weight[1:])
