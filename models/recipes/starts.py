"""Trained weights that published trainings start from: what they are, where they are to be had, how they are given."""

from __future__ import annotations

from models.recipes.base import Start

MOBILENET = Start(
    part="fpn.features.",
    name="MobileNetV2 trained on ImageNet",
    file="mobilenet_v2-b0353104.pth",
    source="torchvision's ImageNet weights",
    flag="--backbone FILE",
)
INCEPTION = Start(
    part="fpn.inception.",
    name="Inception-ResNet-v2 trained on ImageNet",
    file="inceptionresnetv2-520b38e4.pth",
    source="the public port of the TensorFlow weights (Cadene, pretrained-models.pytorch)",
    flag="--backbone FILE",
)
SPYNET = Start(
    part="spynet.",
    name="SPyNet",
    file="spynet_sintel_final-3d2a1287.pth",
    source="github.com/XPixelGroup/BasicSR, docs/ModelZoo.md",
    flag="--backbone spynet=FILE",
)
EDVR_EXTRACTOR = Start(
    part="edvr.",
    name="EDVR's extractor of features",
    file="edvr_reds_pretrained.pth",
    source="github.com/XPixelGroup/BasicSR, docs/ModelZoo.md (edvr_path of train_IconVSR_REDS.yml)",
    flag="--backbone edvr=FILE",
)
STYLEGAN2 = Start(
    part="stylegan_decoder.",
    name="StyleGAN2 trained on FFHQ, in its clean form",
    file="StyleGAN2_512_Cmul1_FFHQ_B12G4_scratch_800k.pth",
    source="github.com/TencentARC/GFPGAN, releases v0.1.0",
    flag="--backbone FILE",
)
ESRGAN_X4 = Start(
    part="",
    name="ESRGAN",
    file="ESRGAN_SRx4_DF2KOST_official-ff704c30.pth",
    source="github.com/xinntao/Real-ESRGAN, releases v0.1.1",
    flag="--start FILE",
)
