"""Every network that the project can build. A new one is a file in `models/nets/` and a line here."""

from __future__ import annotations

from models.nets.deblurgan_v2 import DEBLURGAN_V2_MOBILENET, DEBLURGAN_V2_MOBILENET_TEST
from models.nets.mimo_unet import MIMO_UNET, MIMO_UNET_PLUS, MIMO_UNET_TEST
from models.nets.rrdbnet import (
    ESRGAN_X4,
    REAL_ESRGAN_X1,
    REAL_ESRGAN_X2,
    REAL_ESRGAN_X4,
    RRDBNET_X1_TEST,
    RRDBNET_X2_TEST,
    RRDBNET_X4_TEST,
)
from models.nets.srvggnet import REALESR_GENERAL_X4V3, SRVGGNET_TEST
from models.nets.stfan import STFAN_SPEC, STFAN_TEST
from models.spec import ModelSpec

# Names that end in "-test" are tiny variants for tests; `--methods all` leaves them out.
MODELS: dict[str, ModelSpec] = {
    "mimo-unet": MIMO_UNET,
    "mimo-unet-plus": MIMO_UNET_PLUS,
    "deblurgan-v2-mobilenet": DEBLURGAN_V2_MOBILENET,
    "stfan": STFAN_SPEC,
    "esrgan-x4": ESRGAN_X4,
    "real-esrgan-x4": REAL_ESRGAN_X4,
    "real-esrgan-x2": REAL_ESRGAN_X2,
    "real-esrgan-x1": REAL_ESRGAN_X1,
    "realesr-general-x4v3": REALESR_GENERAL_X4V3,
    "mimo-unet-test": MIMO_UNET_TEST,
    "deblurgan-v2-mobilenet-test": DEBLURGAN_V2_MOBILENET_TEST,
    "stfan-test": STFAN_TEST,
    "rrdbnet-x4-test": RRDBNET_X4_TEST,
    "rrdbnet-x2-test": RRDBNET_X2_TEST,
    "rrdbnet-x1-test": RRDBNET_X1_TEST,
    "srvggnet-test": SRVGGNET_TEST,
}
