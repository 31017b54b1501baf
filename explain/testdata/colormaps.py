"""Writes ../colormaps.bin: matplotlib's inferno, turbo and jet, [3][256] levels of red, green and blue.

    python3 testdata/colormaps.py

Made with matplotlib 3.7.5. inferno is CC0 (Smith, van der Walt), turbo Apache-2.0 (Mikhailov), jet is piecewise linear.
"""
import pathlib

import matplotlib
import numpy as np

tables = [np.round(255 * matplotlib.colormaps[name](np.arange(256))[:, :3]).astype(np.uint8) for name in ("inferno", "turbo", "jet")]
pathlib.Path(__file__).parent.parent.joinpath("colormaps.bin").write_bytes(np.stack(tables).tobytes())
