"""Degradations by name: a new one is a file beside this one and a line here.

A `Degradation` is called with an image, float32 [H, W, 3] RGB in [0, 1], and a generator, and gives a new image of the
same shape and range. `domain` says whether that is linear light or encoded values.

Examples
--------
>>> import numpy as np
>>> from core.random_streams import stream
>>> image = np.full((16, 24, 3), 0.5, dtype=np.float32)
>>> noisy = DEGRADATIONS["stfan-noise"](image, stream(0, "example"))
>>> noisy.shape, bool(noisy.std() > 0)
((16, 24, 3), True)
>>> again = DEGRADATIONS["stfan-noise"](image, stream(0, "example"))
>>> np.array_equal(noisy, again)
True
"""

from synth.degrade.base import Degradation
from synth.degrade.bsrgan import bsrgan as shuffled
from synth.degrade.corruptions import corrupted
from synth.degrade.gfpgan import degraded_face
from synth.degrade.motion import uniform_motion, varying_motion
from synth.degrade.restoration_mix import restoration_mix as mixed
from synth.degrade.second_order import second_order as twice
from synth.degrade.steps import stfan_noise

DEGRADATIONS: dict[str, Degradation] = {
    "real-esrgan": Degradation(
        name="real-esrgan",
        domain="encoded",
        source="Wang et al., Real-ESRGAN, ICCVW 2021, arXiv:2107.10833",
        apply=twice,
    ),
    "bsrgan": Degradation(
        name="bsrgan", domain="encoded", source="Zhang et al., ICCV 2021, arXiv:2103.14006", apply=shuffled
    ),
    "stfan-noise": Degradation(
        name="stfan-noise", domain="encoded", source="Zhou et al., STFAN, ICCV 2019, section 5.1", apply=stfan_noise
    ),
    "restore-mix": Degradation(
        name="restore-mix",
        domain="encoded",
        source="Kupyn et al., DeblurGAN-v2, ICCV 2019, section 4.4",
        apply=mixed,
    ),
    "deblurgan-v2-corruptions": Degradation(
        name="deblurgan-v2-corruptions",
        domain="encoded",
        source="Kupyn et al., DeblurGAN-v2: config/config.yaml and aug.py of the authors' program",
        apply=corrupted,
    ),
    "gfpgan": Degradation(
        name="gfpgan",
        domain="encoded",
        source="Wang et al., GFPGAN, CVPR 2021, arXiv:2101.04061, section 4.1",
        apply=degraded_face,
    ),
    "motion-uniform": Degradation(
        name="motion-uniform",
        domain="linear",
        source="Kupyn et al., DeblurGAN, CVPR 2018; Boracchi and Foi, TIP 2012",
        apply=uniform_motion,
    ),
    "motion-varying": Degradation(
        name="motion-varying", domain="linear", source="rotations of the camera, ours", apply=varying_motion
    ),
}
