"""Every network that the project can build. A new one is a file in `models/nets/` and a line here.

All that the project knows about a network stands on its ModelSpec (models/spec.py): how it is built, run, trained and
cited, and which weights its authors have published.

Examples
--------
>>> spec = MODELS["nafnet-64"]
>>> spec.task, spec.multiple_of, spec.value_range, spec.published
('deblur', 16, (0.0, 1.0), 'NAFNet-width64')
>>> sum(parameter.numel() for parameter in spec.build().parameters())  # 67.89 M in the paper
67888835
>>> [name for name, spec in MODELS.items() if spec.task == "face" and not name.endswith("-test")]
['gfpgan']
"""

from __future__ import annotations

from models.nets.arcface import ARCFACE_RESNET18
from models.nets.basicvsr import (
    BASICVSR_DEBLUR,
    BASICVSR_PLUS_PLUS_DEBLUR,
    BASICVSR_STUDIES,
    BASICVSR_X4,
    ICONVSR_DEBLUR,
    ICONVSR_X4,
)
from models.nets.deblurgan import (
    DEBLURGAN,
    DEBLURGAN_DISCRIMINATOR,
    DEBLURGAN_HEAD2019,
    DEBLURGAN_V2_DISCRIMINATOR,
)
from models.nets.deblurgan_v2 import (
    DEBLURGAN_V2_INCEPTION,
    DEBLURGAN_V2_INCEPTION_SIMPLE,
    DEBLURGAN_V2_MOBILENET,
    DEBLURGAN_V2_MOBILENET_DSC,
)
from models.nets.deepdeblur import DEEPDEBLUR
from models.nets.deeprft import DEEPRFT, DEEPRFT_DOCONV
from models.nets.dmphn import DMPHN_1_2_4
from models.nets.edvr import (
    EDVR_L_DEBLUR,
    EDVR_L_DEBLUR_2STAGE,
    EDVR_M_DEBLUR,
    EDVR_M_X4,
)
from models.nets.esrgan import (
    ESRGAN_X4,
    REAL_ESRGAN_X1,
    REAL_ESRGAN_X2,
    REAL_ESRGAN_X4,
    REAL_ESRGAN_X4_ANIME,
    REALESR_ANIMEVIDEO_X4V3,
    REALESR_GENERAL_X4V3,
    UNET_DISCRIMINATOR_SN,
    VGG_STYLE_DISCRIMINATOR_128,
)
from models.nets.estrnn import ESTRNN_SPEC
from models.nets.fftformer import FFTFORMER
from models.nets.gfpgan import GFPGAN
from models.nets.highres import HIGHRES_ATROUS, HIGHRES_MLFA
from models.nets.hinet import HINET, HINET_HALF
from models.nets.maxim import MAXIM_3S
from models.nets.mimo_unet import MIMO_UNET, MIMO_UNET_PLUS
from models.nets.motion_parts import RIFE_V4, RIFE_V36, SPYNET
from models.nets.motion_unet import MOTION_UNET_SMALL
from models.nets.mprnet import MPRNET
from models.nets.nafnet import NAFNET_32, NAFNET_64
from models.nets.restormer import RESTORMER
from models.nets.retinaface import RETINAFACE_MOBILENET
from models.nets.srn import SRN_SPEC
from models.nets.stfan import STFAN_SPEC
from models.nets.stripformer import STRIPFORMER
from models.nets.stylegan2 import FACIAL_COMPONENT_DISCRIMINATOR, STYLEGAN2_DISCRIMINATOR
from models.nets.uformer import UFORMER_B
from models.spec import ModelSpec

_NETWORKS: dict[str, ModelSpec] = {
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
} | {spec.name: spec for spec in BASICVSR_STUDIES}
# Names that end in "-test" are tiny variants for tests; `--methods all` leaves them out.
MODELS: dict[str, ModelSpec] = _NETWORKS | {spec.tiny.name: spec.tiny for spec in _NETWORKS.values() if spec.tiny}
