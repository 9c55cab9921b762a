"""Every network that the project can build. A new one is a file in `models/nets/` and a line here."""

from __future__ import annotations

from models.nets.arcface import ARCFACE_RESNET18
from models.nets.deblurgan_v2 import DEBLURGAN_V2_MOBILENET, DEBLURGAN_V2_MOBILENET_TEST
from models.nets.facial_components import FACIAL_COMPONENT_DISCRIMINATOR
from models.nets.gfpgan import GFPGAN, GFPGAN_TEST
from models.nets.mimo_unet import MIMO_UNET, MIMO_UNET_PLUS, MIMO_UNET_TEST
from models.nets.retinaface import RETINAFACE_MOBILENET
from models.nets.stfan import STFAN_SPEC, STFAN_TEST
from models.spec import ModelSpec

# Names that end in "-test" are tiny variants for tests; `--methods all` leaves them out.
MODELS: dict[str, ModelSpec] = {
    "mimo-unet": MIMO_UNET,
    "mimo-unet-plus": MIMO_UNET_PLUS,
    "deblurgan-v2-mobilenet": DEBLURGAN_V2_MOBILENET,
    "stfan": STFAN_SPEC,
    "gfpgan": GFPGAN,
    "facial-component-discriminator": FACIAL_COMPONENT_DISCRIMINATOR,
    "arcface-resnet18": ARCFACE_RESNET18,
    "retinaface-mobilenet": RETINAFACE_MOBILENET,
    "mimo-unet-test": MIMO_UNET_TEST,
    "deblurgan-v2-mobilenet-test": DEBLURGAN_V2_MOBILENET_TEST,
    "stfan-test": STFAN_TEST,
    "gfpgan-test": GFPGAN_TEST,
}
