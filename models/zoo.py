"""Every network that the project can build. A new one is a file in `models/nets/` and a line here."""

from __future__ import annotations

from models.nets.deblurgan_v2 import DEBLURGAN_V2_MOBILENET, DEBLURGAN_V2_MOBILENET_TEST
from models.nets.deepdeblur import DEEPDEBLUR, DEEPDEBLUR_TEST
from models.nets.dmphn import DMPHN_1_2_4, DMPHN_TEST
from models.nets.highres_atrous import HIGHRES_ATROUS, HIGHRES_ATROUS_TEST
from models.nets.highres_mlfa import HIGHRES_MLFA, HIGHRES_MLFA_TEST
from models.nets.mimo_unet import MIMO_UNET, MIMO_UNET_PLUS, MIMO_UNET_TEST
from models.nets.mprnet import MPRNET, MPRNET_TEST
from models.nets.nafnet import NAFNET_32, NAFNET_TEST
from models.nets.restormer import RESTORMER, RESTORMER_TEST
from models.nets.srn import SRN_SPEC, SRN_TEST
from models.nets.stfan import STFAN_SPEC, STFAN_TEST
from models.spec import ModelSpec

# Names that end in "-test" are tiny variants for tests; `--methods all` leaves them out.
MODELS: dict[str, ModelSpec] = {
    "mimo-unet": MIMO_UNET,
    "mimo-unet-plus": MIMO_UNET_PLUS,
    "deblurgan-v2-mobilenet": DEBLURGAN_V2_MOBILENET,
    "stfan": STFAN_SPEC,
    "nafnet-32": NAFNET_32,
    "dmphn-1-2-4": DMPHN_1_2_4,
    "deepdeblur": DEEPDEBLUR,
    "srn": SRN_SPEC,
    "mprnet": MPRNET,
    "restormer": RESTORMER,
    "highres-atrous": HIGHRES_ATROUS,
    "highres-mlfa": HIGHRES_MLFA,
    "mimo-unet-test": MIMO_UNET_TEST,
    "deblurgan-v2-mobilenet-test": DEBLURGAN_V2_MOBILENET_TEST,
    "stfan-test": STFAN_TEST,
    "nafnet-test": NAFNET_TEST,
    "dmphn-test": DMPHN_TEST,
    "deepdeblur-test": DEEPDEBLUR_TEST,
    "srn-test": SRN_TEST,
    "mprnet-test": MPRNET_TEST,
    "restormer-test": RESTORMER_TEST,
    "highres-atrous-test": HIGHRES_ATROUS_TEST,
    "highres-mlfa-test": HIGHRES_MLFA_TEST,
}
