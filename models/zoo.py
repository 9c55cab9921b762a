"""Every network that the project can build. A new one is a file in `models/nets/` and a line here."""

from __future__ import annotations

from models.nets.arcface import ARCFACE_RESNET18
from models.nets.basicvsr_specs import (
    BASICVSR_DEBLUR,
    BASICVSR_DEBLUR_TEST,
    BASICVSR_PLUS_PLUS_DEBLUR,
    BASICVSR_PLUS_PLUS_TEST,
    BASICVSR_X4,
    BASICVSR_X4_TEST,
    ICONVSR_DEBLUR,
    ICONVSR_DEBLUR_TEST,
    ICONVSR_X4,
    ICONVSR_X4_TEST,
)
from models.nets.deblurgan_v2 import DEBLURGAN_V2_MOBILENET, DEBLURGAN_V2_MOBILENET_TEST
from models.nets.edvr_specs import (
    EDVR_2STAGE_TEST,
    EDVR_L_DEBLUR,
    EDVR_L_DEBLUR_2STAGE,
    EDVR_M_DEBLUR,
    EDVR_M_X4,
    EDVR_TEST,
    EDVR_X4_TEST,
)
from models.nets.facial_components import FACIAL_COMPONENT_DISCRIMINATOR
from models.nets.gfpgan import GFPGAN, GFPGAN_TEST
from models.nets.mimo_unet import MIMO_UNET, MIMO_UNET_PLUS, MIMO_UNET_TEST
from models.nets.motion_parts import RIFE_V4, RIFE_V36, SPYNET
from models.nets.retinaface import RETINAFACE_MOBILENET
from models.nets.stfan import STFAN_SPEC, STFAN_TEST
from models.spec import ModelSpec

# Names that end in "-test" are tiny variants for tests; `--methods all` leaves them out.
MODELS: dict[str, ModelSpec] = {
    "mimo-unet": MIMO_UNET,
    "mimo-unet-plus": MIMO_UNET_PLUS,
    "deblurgan-v2-mobilenet": DEBLURGAN_V2_MOBILENET,
    "stfan": STFAN_SPEC,
    "edvr-m-deblur": EDVR_M_DEBLUR,
    "edvr-l-deblur": EDVR_L_DEBLUR,
    "edvr-l-deblur-2stage": EDVR_L_DEBLUR_2STAGE,
    "edvr-m-x4": EDVR_M_X4,
    "basicvsr-x4": BASICVSR_X4,
    "iconvsr-x4": ICONVSR_X4,
    "basicvsr-deblur": BASICVSR_DEBLUR,
    "iconvsr-deblur": ICONVSR_DEBLUR,
    "basicvsr++-deblur": BASICVSR_PLUS_PLUS_DEBLUR,
    "spynet": SPYNET,
    "rife-v3.6": RIFE_V36,
    "rife-v4.25": RIFE_V4,
    "gfpgan": GFPGAN,
    "facial-component-discriminator": FACIAL_COMPONENT_DISCRIMINATOR,
    "arcface-resnet18": ARCFACE_RESNET18,
    "retinaface-mobilenet": RETINAFACE_MOBILENET,
    "mimo-unet-test": MIMO_UNET_TEST,
    "deblurgan-v2-mobilenet-test": DEBLURGAN_V2_MOBILENET_TEST,
    "stfan-test": STFAN_TEST,
    "edvr-test": EDVR_TEST,
    "edvr-x4-test": EDVR_X4_TEST,
    "edvr-2stage-test": EDVR_2STAGE_TEST,
    "basicvsr-x4-test": BASICVSR_X4_TEST,
    "iconvsr-x4-test": ICONVSR_X4_TEST,
    "basicvsr-deblur-test": BASICVSR_DEBLUR_TEST,
    "iconvsr-deblur-test": ICONVSR_DEBLUR_TEST,
    "basicvsr++-test": BASICVSR_PLUS_PLUS_TEST,
    "gfpgan-test": GFPGAN_TEST,
}
