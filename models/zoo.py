"""Every network that the project can build. A new one is a file in `models/nets/` and a line here."""

from __future__ import annotations

from models.nets.deblurgan import DEBLURGAN, DEBLURGAN_HEAD2019, DEBLURGAN_TEST
from models.nets.deblurgan_discriminator import DEBLURGAN_V2_DISCRIMINATOR
from models.nets.deblurgan_v2 import (
    DEBLURGAN_V2_INCEPTION,
    DEBLURGAN_V2_INCEPTION_SIMPLE,
    DEBLURGAN_V2_MOBILENET,
    DEBLURGAN_V2_MOBILENET_DSC,
    DEBLURGAN_V2_MOBILENET_DSC_TEST,
    DEBLURGAN_V2_MOBILENET_TEST,
)
from models.nets.esrgan_discriminators import UNET_DISCRIMINATOR_SN, VGG_STYLE_DISCRIMINATOR128
from models.nets.mimo_unet import MIMO_UNET, MIMO_UNET_PLUS, MIMO_UNET_TEST
from models.nets.stfan import STFAN_SPEC, STFAN_TEST
from models.spec import ModelSpec

# Names that end in "-test" are tiny variants for tests; `--methods all` leaves them out.
MODELS: dict[str, ModelSpec] = {
    "mimo-unet": MIMO_UNET,
    "mimo-unet-plus": MIMO_UNET_PLUS,
    "deblurgan": DEBLURGAN,
    "deblurgan-head2019": DEBLURGAN_HEAD2019,
    "deblurgan-v2-inception": DEBLURGAN_V2_INCEPTION,
    "deblurgan-v2-inception-simple": DEBLURGAN_V2_INCEPTION_SIMPLE,
    "deblurgan-v2-mobilenet": DEBLURGAN_V2_MOBILENET,
    "deblurgan-v2-mobilenet-dsc": DEBLURGAN_V2_MOBILENET_DSC,
    "stfan": STFAN_SPEC,
    "deblurgan-v2-discriminator": DEBLURGAN_V2_DISCRIMINATOR,
    "vgg-style-discriminator128": VGG_STYLE_DISCRIMINATOR128,
    "unet-discriminator-sn": UNET_DISCRIMINATOR_SN,
    "mimo-unet-test": MIMO_UNET_TEST,
    "deblurgan-test": DEBLURGAN_TEST,
    "deblurgan-v2-mobilenet-test": DEBLURGAN_V2_MOBILENET_TEST,
    "deblurgan-v2-mobilenet-dsc-test": DEBLURGAN_V2_MOBILENET_DSC_TEST,
    "stfan-test": STFAN_TEST,
}
