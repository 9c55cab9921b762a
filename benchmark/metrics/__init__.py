"""All metrics by id. A new one is a file here and a line below; nothing heavy is imported before a metric is used."""

from __future__ import annotations

from benchmark.metrics.niqe import NIQE
from benchmark.metrics.perceptual import LPIPS_ALEX, LPIPS_SQUEEZE, LPIPS_VGG
from benchmark.metrics.psnr import PSNR
from benchmark.metrics.ssim import SSIM_GAUSS_VALID, SSIM_LUMA, SSIM_WANG_DOWNSAMPLED
from benchmark.metrics.ssim_skimage import SSIM_SKIMAGE_GAUSS, SSIM_SKIMAGE_UNIFORM7
from benchmark.protocol import Metric

# To come: ssim-matlab-3d, ssim-cw, ms-ssim, brisque, pyiqa:NAME.
METRICS: dict[str, Metric] = {
    "psnr": PSNR,
    "ssim-gauss-valid": SSIM_GAUSS_VALID,
    "ssim-skimage-gauss": SSIM_SKIMAGE_GAUSS,
    "ssim-skimage-uniform7": SSIM_SKIMAGE_UNIFORM7,
    "ssim-luma": SSIM_LUMA,
    "ssim-wang-downsampled": SSIM_WANG_DOWNSAMPLED,
    "lpips-alex": LPIPS_ALEX,
    "lpips-vgg": LPIPS_VGG,
    "lpips-squeeze": LPIPS_SQUEEZE,
    "niqe": NIQE,
}
