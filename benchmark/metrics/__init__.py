"""All metrics by id. A new one is a file here and a line below; nothing heavy is imported before a metric is used.

`fn(restored, sharp)` of a `Metric` takes float tensors [3, H, W], RGB in [0, 1], and gives a number in its unit;
`missing()` says which file it lacks here.

Examples
--------
>>> import torch
>>> grey = torch.full((3, 32, 32), 0.5)
>>> psnr = METRICS["psnr"]
>>> round(psnr.fn(grey, grey + 0.1), 4), psnr.unit  # 20 log10(1 / 0.1)
(20.0, 'dB')
>>> psnr.fn(grey, grey)
inf
>>> [name for name, metric in METRICS.items() if not metric.needs_reference]
['niqe', 'brisque']
"""

from __future__ import annotations

from benchmark.metrics.brisque import BRISQUE
from benchmark.metrics.identity import IDENTITY
from benchmark.metrics.ms_ssim import MS_SSIM
from benchmark.metrics.niqe import NIQE
from benchmark.metrics.perceptual import LPIPS_ALEX, LPIPS_SQUEEZE, LPIPS_VGG
from benchmark.metrics.psnr import PSNR
from benchmark.metrics.pyiqa_metrics import is_pyiqa, pyiqa_metric
from benchmark.metrics.ssim import (
    SSIM_CW,
    SSIM_GAUSS_VALID,
    SSIM_LUMA,
    SSIM_MATLAB_3D,
    SSIM_SKIMAGE_GAUSS,
    SSIM_SKIMAGE_UNIFORM7,
    SSIM_WANG_DOWNSAMPLED,
)
from benchmark.protocols import Metric


class MetricsById(dict[str, Metric]):
    """The metrics listed below, and any id `pyiqa:NAME`, which lists and loops leave out: there are about a hundred."""

    def __missing__(self, name: str) -> Metric:
        if not is_pyiqa(name):
            raise KeyError(name)
        return pyiqa_metric(name)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or is_pyiqa(name)


METRICS: dict[str, Metric] = MetricsById(
    {
        "psnr": PSNR,
        "ssim-gauss-valid": SSIM_GAUSS_VALID,
        "ssim-skimage-gauss": SSIM_SKIMAGE_GAUSS,
        "ssim-skimage-uniform7": SSIM_SKIMAGE_UNIFORM7,
        "ssim-matlab-3d": SSIM_MATLAB_3D,
        "ssim-luma": SSIM_LUMA,
        "ssim-wang-downsampled": SSIM_WANG_DOWNSAMPLED,
        "ssim-cw": SSIM_CW,
        "ms-ssim": MS_SSIM,
        "lpips-alex": LPIPS_ALEX,
        "lpips-vgg": LPIPS_VGG,
        "lpips-squeeze": LPIPS_SQUEEZE,
        "niqe": NIQE,
        "brisque": BRISQUE,
        "identity": IDENTITY,
    }
)
