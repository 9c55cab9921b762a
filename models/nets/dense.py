"""Dense layers over the last axis that take a bias, an activation and a sum along in one pass where nothing is learned.

Restoring on a CPU runs them through oneDNN, whose products write their results once; PyTorch's own write the bias
first, then the product, then read it again for the activation. Measured on one core, 65,536 pixels of 32 channels: 2.0
ms in place of 6.1, with a GELU 3.1 in place of 6.3. Training, counting and other devices take PyTorch's own.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def dense(x: Tensor, weight: Tensor, bias: Tensor | None, *, gelu: str = "", plus: Tensor | None = None) -> Tensor:
    """x @ weight^T + bias, then the GELU or the sum with another tensor.

    Shape: x [..., C], weight [D, C], plus [..., D] -> [..., D]. gelu: "" (none), "none" (the exact one) or "tanh", as
    PyTorch names them.
    """
    if gelu and plus is not None:
        raise ValueError("a dense layer has an activation or a sum, not both")
    if _supported(x, weight):
        pointwise = torch.ops.mkldnn._linear_pointwise
        weight = weight.contiguous()  # thousandfold slower with strides
        if plus is not None:
            return pointwise.binary(x, plus, weight, bias, "add")
        return pointwise(x, weight, bias, "gelu" if gelu else "none", [], gelu)
    product = functional.linear(x, weight, bias)
    if plus is not None:
        return product + plus
    return functional.gelu(product, approximate=gelu) if gelu else product


def _supported(x: Tensor, weight: Tensor) -> bool:
    return (
        torch.is_inference_mode_enabled()
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
