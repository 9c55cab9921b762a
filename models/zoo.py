"""Every network that the project can build. A new one is a file in `models/nets/` and a line here."""

from __future__ import annotations

from models.nets.arcface import ARCFACE_RESNET18
from models.nets.deblurgan_v2 import (
    DEBLURGAN_V2_MOBILENET,
    DEBLURGAN_V2_MOBILENET_DSC,
    DEBLURGAN_V2_MOBILENET_DSC_TEST,
    DEBLURGAN_V2_MOBILENET_TEST,
)
from models.nets.deepdeblur import DEEPDEBLUR, DEEPDEBLUR_TEST
from models.nets.dmphn import DMPHN_1_2_4, DMPHN_TEST
from models.nets.esrgan_discriminators import UNET_DISCRIMINATOR_SN, VGG_STYLE_DISCRIMINATOR_128
from models.nets.facial_components import FACIAL_COMPONENT_DISCRIMINATOR
from models.nets.gfpgan import GFPGAN, GFPGAN_TEST
from models.nets.highres_atrous import HIGHRES_ATROUS, HIGHRES_ATROUS_TEST
from models.nets.highres_mlfa import HIGHRES_MLFA, HIGHRES_MLFA_TEST
from models.nets.mimo_unet import MIMO_UNET, MIMO_UNET_PLUS, MIMO_UNET_TEST
from models.nets.mprnet import MPRNET, MPRNET_TEST
from models.nets.nafnet import NAFNET_32, NAFNET_TEST
from models.nets.restormer import RESTORMER, RESTORMER_TEST
from models.nets.retinaface import RETINAFACE_MOBILENET
from models.nets.rrdbnet import (
    ESRGAN_X4,
    REAL_ESRGAN_X1,
    REAL_ESRGAN_X2,
    REAL_ESRGAN_X4,
    RRDBNET_X1_TEST,
    RRDBNET_X2_TEST,
    RRDBNET_X4_TEST,
)
from models.nets.srn import SRN_SPEC, SRN_TEST
from models.nets.srvggnet import REALESR_GENERAL_X4V3, SRVGGNET_TEST
from models.nets.stfan import STFAN_SPEC, STFAN_TEST
from models.spec import ModelSpec

# Names that end in "-test" are tiny variants for tests; `--methods all` leaves them out.
MODELS: dict[str, ModelSpec] = {
    "mimo-unet": MIMO_UNET,
    "mimo-unet-plus": MIMO_UNET_PLUS,
    "deblurgan-v2-mobilenet": DEBLURGAN_V2_MOBILENET,
    "deblurgan-v2-mobilenet-dsc": DEBLURGAN_V2_MOBILENET_DSC,
    "stfan": STFAN_SPEC,
    "highres-atrous": HIGHRES_ATROUS,
    "highres-mlfa": HIGHRES_MLFA,
    "gfpgan": GFPGAN,
    "facial-component-discriminator": FACIAL_COMPONENT_DISCRIMINATOR,
    "vgg-style-discriminator-128": VGG_STYLE_DISCRIMINATOR_128,
    "unet-discriminator-sn": UNET_DISCRIMINATOR_SN,
    "arcface-resnet18": ARCFACE_RESNET18,
    "retinaface-mobilenet": RETINAFACE_MOBILENET,
    "nafnet-32": NAFNET_32,
    "dmphn-1-2-4": DMPHN_1_2_4,
    "deepdeblur": DEEPDEBLUR,
    "srn": SRN_SPEC,
    "mprnet": MPRNET,
    "restormer": RESTORMER,
    "esrgan-x4": ESRGAN_X4,
    "real-esrgan-x4": REAL_ESRGAN_X4,
    "real-esrgan-x2": REAL_ESRGAN_X2,
    "real-esrgan-x1": REAL_ESRGAN_X1,
    "realesr-general-x4v3": REALESR_GENERAL_X4V3,
    "mimo-unet-test": MIMO_UNET_TEST,
    "deblurgan-v2-mobilenet-test": DEBLURGAN_V2_MOBILENET_TEST,
    "deblurgan-v2-mobilenet-dsc-test": DEBLURGAN_V2_MOBILENET_DSC_TEST,
    "stfan-test": STFAN_TEST,
    "highres-atrous-test": HIGHRES_ATROUS_TEST,
    "highres-mlfa-test": HIGHRES_MLFA_TEST,
    "gfpgan-test": GFPGAN_TEST,
    "nafnet-test": NAFNET_TEST,
    "dmphn-test": DMPHN_TEST,
    "deepdeblur-test": DEEPDEBLUR_TEST,
    "srn-test": SRN_TEST,
    "mprnet-test": MPRNET_TEST,
    "restormer-test": RESTORMER_TEST,
    "rrdbnet-x4-test": RRDBNET_X4_TEST,
    "rrdbnet-x2-test": RRDBNET_X2_TEST,
    "rrdbnet-x1-test": RRDBNET_X1_TEST,
    "srvggnet-test": SRVGGNET_TEST,
}
