"""One picture through H.264, as the key frame of a video: 4:2:0 chroma and the codec's blocks at a quality."""

from __future__ import annotations

import io

import numpy as np


def through_h264(rgb: np.ndarray, crf: int) -> np.ndarray:
    """Encode with x264 at a constant rate factor and decode; one thread, so the same picture every time.

    Shape: [H, W, 3] uint8 RGB, kept; odd sides are padded by their last row or column for the codec.
    """
    import av

    height, width = rgb.shape[:2]
    even = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    stored = io.BytesIO()
    with av.open(stored, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": str(crf), "threads": "1"})
        stream.height, stream.width, stream.pix_fmt = even.shape[0], even.shape[1], "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")))
        container.mux(stream.encode())
    stored.seek(0)
    with av.open(stored, "r") as container:
        frame = next(container.decode(video=0))
        return np.ascontiguousarray(frame.to_ndarray(format="rgb24")[:height, :width])
