"""Every network that the project can build. A new one is a file in `models/nets/` and a line here."""

from __future__ import annotations

from models.nets.arcface import ARCFACE_RESNET18
from models.nets.basicvsr import (
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
from models.nets.deblurgan import (
    DEBLURGAN,
    DEBLURGAN_DISCRIMINATOR,
    DEBLURGAN_HEAD2019,
    DEBLURGAN_TEST,
    DEBLURGAN_V2_DISCRIMINATOR,
)
from models.nets.deblurgan_v2 import (
    DEBLURGAN_V2_INCEPTION,
    DEBLURGAN_V2_INCEPTION_SIMPLE,
    DEBLURGAN_V2_MOBILENET,
    DEBLURGAN_V2_MOBILENET_DSC,
    DEBLURGAN_V2_MOBILENET_DSC_TEST,
    DEBLURGAN_V2_MOBILENET_TEST,
)
from models.nets.deepdeblur import DEEPDEBLUR, DEEPDEBLUR_TEST
from models.nets.deeprft import DEEPRFT, DEEPRFT_DOCONV, DEEPRFT_DOCONV_TEST, DEEPRFT_TEST
from models.nets.dmphn import DMPHN_1_2_4, DMPHN_TEST
from models.nets.edvr import (
    EDVR_2STAGE_TEST,
    EDVR_L_DEBLUR,
    EDVR_L_DEBLUR_2STAGE,
    EDVR_M_DEBLUR,
    EDVR_M_X4,
    EDVR_TEST,
    EDVR_X4_TEST,
)
from models.nets.esrgan import (
    ESRGAN_X4,
    REAL_ESRGAN_X1,
    REAL_ESRGAN_X2,
    REAL_ESRGAN_X4,
    REAL_ESRGAN_X4_ANIME,
    REALESR_ANIMEVIDEO_X4V3,
    REALESR_GENERAL_X4V3,
    RRDBNET_X1_TEST,
    RRDBNET_X2_TEST,
    RRDBNET_X4_TEST,
    SRVGGNET_TEST,
    UNET_DISCRIMINATOR_SN,
    VGG_STYLE_DISCRIMINATOR_128,
)
from models.nets.estrnn import ESTRNN_SPEC, ESTRNN_TEST
from models.nets.fftformer import FFTFORMER, FFTFORMER_TEST
from models.nets.gfpgan import GFPGAN, GFPGAN_TEST
from models.nets.highres import HIGHRES_ATROUS, HIGHRES_ATROUS_TEST, HIGHRES_MLFA, HIGHRES_MLFA_TEST
from models.nets.hinet import HINET, HINET_HALF, HINET_TEST
from models.nets.maxim import MAXIM_3S, MAXIM_TEST
from models.nets.mimo_unet import MIMO_UNET, MIMO_UNET_PLUS, MIMO_UNET_TEST
from models.nets.motion_parts import RIFE_V4, RIFE_V36, SPYNET
from models.nets.motion_unet import MOTION_UNET_SMALL, MOTION_UNET_TEST
from models.nets.mprnet import MPRNET, MPRNET_TEST
from models.nets.nafnet import NAFNET_32, NAFNET_64, NAFNET_TEST
from models.nets.restormer import RESTORMER, RESTORMER_TEST
from models.nets.retinaface import RETINAFACE_MOBILENET
from models.nets.srn import SRN_SPEC, SRN_TEST
from models.nets.stfan import STFAN_SPEC, STFAN_TEST
from models.nets.stripformer import STRIPFORMER, STRIPFORMER_TEST
from models.nets.stylegan2 import FACIAL_COMPONENT_DISCRIMINATOR, STYLEGAN2_DISCRIMINATOR
from models.nets.uformer import UFORMER_B, UFORMER_TEST
from models.spec import ModelSpec

# Names that end in "-test" are tiny variants for tests; `--methods all` leaves them out.
MODELS: dict[str, ModelSpec] = {
    "motion-unet-small": MOTION_UNET_SMALL,
    "mimo-unet": MIMO_UNET,
    "mimo-unet-plus": MIMO_UNET_PLUS,
    "deblurgan": DEBLURGAN,
    "deblurgan-head2019": DEBLURGAN_HEAD2019,
    "deblurgan-v2-inception": DEBLURGAN_V2_INCEPTION,
    "deblurgan-v2-inception-simple": DEBLURGAN_V2_INCEPTION_SIMPLE,
    "deblurgan-v2-mobilenet": DEBLURGAN_V2_MOBILENET,
    "deblurgan-v2-mobilenet-dsc": DEBLURGAN_V2_MOBILENET_DSC,
    "stfan": STFAN_SPEC,
    "deblurgan-discriminator": DEBLURGAN_DISCRIMINATOR,
    "deblurgan-v2-discriminator": DEBLURGAN_V2_DISCRIMINATOR,
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
    "vgg-style-discriminator-128": VGG_STYLE_DISCRIMINATOR_128,
    "unet-discriminator-sn": UNET_DISCRIMINATOR_SN,
    "stylegan2-discriminator": STYLEGAN2_DISCRIMINATOR,
    "arcface-resnet18": ARCFACE_RESNET18,
    "retinaface-mobilenet": RETINAFACE_MOBILENET,
    "nafnet-32": NAFNET_32,
    "nafnet-64": NAFNET_64,
    "dmphn-1-2-4": DMPHN_1_2_4,
    "deepdeblur": DEEPDEBLUR,
    "srn": SRN_SPEC,
    "mprnet": MPRNET,
    "restormer": RESTORMER,
    "hinet": HINET,
    "hinet-half": HINET_HALF,
    "stripformer": STRIPFORMER,
    "fftformer": FFTFORMER,
    "deeprft": DEEPRFT,
    "deeprft-doconv": DEEPRFT_DOCONV,
    "estrnn": ESTRNN_SPEC,
    "highres-atrous": HIGHRES_ATROUS,
    "highres-mlfa": HIGHRES_MLFA,
    "esrgan-x4": ESRGAN_X4,
    "real-esrgan-x4": REAL_ESRGAN_X4,
    "real-esrgan-x4-anime": REAL_ESRGAN_X4_ANIME,
    "real-esrgan-x2": REAL_ESRGAN_X2,
    "real-esrgan-x1": REAL_ESRGAN_X1,
    "realesr-general-x4v3": REALESR_GENERAL_X4V3,
    "uformer-b": UFORMER_B,
    "maxim-3s": MAXIM_3S,
    "realesr-animevideo-x4v3": REALESR_ANIMEVIDEO_X4V3,
    "mimo-unet-test": MIMO_UNET_TEST,
    "deblurgan-test": DEBLURGAN_TEST,
    "deblurgan-v2-mobilenet-test": DEBLURGAN_V2_MOBILENET_TEST,
    "deblurgan-v2-mobilenet-dsc-test": DEBLURGAN_V2_MOBILENET_DSC_TEST,
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
    "nafnet-test": NAFNET_TEST,
    "dmphn-test": DMPHN_TEST,
    "deepdeblur-test": DEEPDEBLUR_TEST,
    "srn-test": SRN_TEST,
    "mprnet-test": MPRNET_TEST,
    "restormer-test": RESTORMER_TEST,
    "hinet-test": HINET_TEST,
    "stripformer-test": STRIPFORMER_TEST,
    "fftformer-test": FFTFORMER_TEST,
    "deeprft-test": DEEPRFT_TEST,
    "deeprft-doconv-test": DEEPRFT_DOCONV_TEST,
    "estrnn-test": ESTRNN_TEST,
    "highres-atrous-test": HIGHRES_ATROUS_TEST,
    "highres-mlfa-test": HIGHRES_MLFA_TEST,
    "rrdbnet-x4-test": RRDBNET_X4_TEST,
    "rrdbnet-x2-test": RRDBNET_X2_TEST,
    "rrdbnet-x1-test": RRDBNET_X1_TEST,
    "srvggnet-test": SRVGGNET_TEST,
    "uformer-test": UFORMER_TEST,
    "maxim-test": MAXIM_TEST,
    "motion-unet-test": MOTION_UNET_TEST,
}
