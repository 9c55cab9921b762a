"""Degradations by name: a new one is a file beside this one and a line here."""

from synth.degrade.base import Degradation
from synth.degrade.bsrgan import bsrgan as shuffled
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
