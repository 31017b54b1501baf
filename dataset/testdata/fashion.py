"""Writes fashion/: the first two images of each class for training and the first
one for testing, of the Fashion-MNIST (arXiv 1708.07747, MIT licence) in Debian's
package dataset-fashion-mnist, here 0.0~git20200523.55506a9-1."""

import gzip
import struct
from pathlib import Path

here = Path(__file__).parent / "fashion"
here.mkdir(exist_ok=True)
for part, count in (("train", 2), ("t10k", 1)):
    names = [f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz"]
    images, labels = (gzip.decompress((Path("/usr/share/datasets/fashion-mnist") / n).read_bytes()) for n in names)
    images, labels = images[16:], labels[8:]
    chosen = sorted(i for c in range(10) for i in [i for i, l in enumerate(labels) if l == c][:count])
    pixels = b"".join(images[784 * i : 784 * (i + 1)] for i in chosen)
    files = [struct.pack(">4i", 0x803, len(chosen), 28, 28) + pixels, struct.pack(">2i", 0x801, len(chosen)) + bytes(labels[i] for i in chosen)]
    for name, data in zip(names, files):
        (here / name).write_bytes(gzip.compress(data, mtime=0))
