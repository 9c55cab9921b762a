"""Counting multiply-accumulate operations."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.spec import ModelSpec


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
    if hasattr(torch.ops.mkldnn, "_convolution_pointwise"):  # models/fused.py
        extra[torch.ops.mkldnn._convolution_pointwise] = fused_operations
    if hasattr(torch.ops.mkldnn, "_linear_pointwise"):  # models/nets/layers.py
        extra[torch.ops.mkldnn._linear_pointwise] = dense_operations
    counter = FlopCounterMode(display=False, custom_mapping=extra)
    with counter:
        work()
    return counter.get_total_flops() // 2


def macs_at(spec: ModelSpec, height: int, width: int) -> int | None:
    """MACs of one frame of a size, from the shapes alone: no image is computed. None where a network needs its values.

    Of networks that look at more than two frames the mean over a clip of that length, else those of the second frame.
    """
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    if spec.adapter is None or spec.task == "face":  # how many faces a frame has is a matter of its values
        return None
    count = max(2, spec.frames)
    with torch.random.fork_rng(devices=[]):  # counting leaves the caller's chance as it was
        module = spec.build().eval()  # with real weights: some networks choose their layout when they are built
    method = spec.adapt(module)
    try:
        with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
            outputs = method.restore(torch.rand(3, height, width) for _ in range(count))
            if count > 2:
                return counted_macs(lambda: [None for _ in outputs]) // count
            if spec.frames > 1:
                next(outputs)  # the first frame of a clip lacks its state
            return counted_macs(lambda: next(outputs))
    except RuntimeError:
        return None


@functools.cache
def macs_of_sample(spec: ModelSpec, crop_px: int) -> int:
    """MACs of one frame of a training sample, a crop of the sharp image of that side; 0 where they are not known."""
    side_px = crop_px // spec.scale
    return macs_at(spec, side_px, side_px) or 0


def attention_operations(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], *others: object, **_: object
) -> int:
    """Floating-point operations of fused attention, which torch itself counts on a GPU only.

    Shape: query [B, heads, L, C], key [B, heads, S, C], value [B, heads, S, D].
    """
    batch, heads, length, channels = query
    return 2 * batch * heads * length * key[2] * (channels + value[3])


def fused_operations(
    image: Sequence[int], weight: Sequence[int], *others: object, out_shape: Sequence[int], **_: object
) -> int:
    """Floating-point operations of a convolution with its activation. Shape: as in `deformable_operations`."""
    return 2 * math.prod(out_shape) * math.prod(weight[1:])


def dense_operations(x: Sequence[int], *others: object, out_shape: Sequence[int], **_: object) -> int:
    """Floating-point operations of a dense layer with its activation or sum. Shape: x [..., C], out_shape [..., D]."""
    return 2 * math.prod(out_shape) * x[-1]


def deformable_operations(
    image: Sequence[int], weight: Sequence[int], *others: object, out_shape: Sequence[int], **_: object
) -> int:
    """Floating-point operations of one deformable convolution, from the shapes, without the sampling.

    Shape: weight [outputs, inputs / groups, rows, columns], out_shape [B, outputs, H, W].
    """
    return 2 * math.prod(out_shape) * math.prod(weight[1:])
