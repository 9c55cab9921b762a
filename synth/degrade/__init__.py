"""Degradations by name: a new one is a file beside this one and a line here."""

from synth.degrade.base import Degradation
from synth.degrade.bsrgan import bsrgan
from synth.degrade.noise import stfan_noise
from synth.degrade.second_order import second_order

DEGRADATIONS: dict[str, Degradation] = {
    "real-esrgan": Degradation(
        name="real-esrgan",
        domain="encoded",
        source="Wang et al., Real-ESRGAN, ICCVW 2021, arXiv:2107.10833",
        apply=second_order,
    ),
    "bsrgan": Degradation(
        name="bsrgan", domain="encoded", source="Zhang et al., ICCV 2021, arXiv:2103.14006", apply=bsrgan
    ),
    "stfan-noise": Degradation(
        name="stfan-noise", domain="encoded", source="Zhou et al., STFAN, ICCV 2019, section 5.1", apply=stfan_noise
    ),
}
