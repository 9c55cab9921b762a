"""Which parts of official data sets are kept for tests: nobody trains on them, whatever package asks."""

from __future__ import annotations

# The ten test sequences of DVD (Su et al., CVPR 2017), #1 to #10; 100 frames each.
DVD_TEST_SEQUENCES = (
    "IMG_0030",
    "IMG_0049",
    "IMG_0021",
    "720p_240fps_2",
    "IMG_0032",
    "IMG_0033",
    "IMG_0031",
    "IMG_0003",
    "IMG_0039",
    "IMG_0037",
)
# The clips of REDS' training half that video papers test on (Wang et al., EDVR, CVPRW 2019).
REDS4 = ("000", "011", "015", "020")
