"""Writes ../imagenet_labels.txt: the ImageNet-1K class names of torchvision.

The first line of the file records the version. Run it with an interpreter that
has torchvision; Debian's package python3-torchvision installs for
/usr/bin/python3.
"""

from pathlib import Path

import torchvision
from torchvision.models import MobileNet_V2_Weights

names = MobileNet_V2_Weights.IMAGENET1K_V1.meta["categories"]
assert names == MobileNet_V2_Weights.IMAGENET1K_V2.meta["categories"]
assert len(names) == 1000 and not any("\n" in name for name in names)

header = f"# torchvision {torchvision.__version__}, written by testdata/imagenet_labels.py"
path = Path(__file__).parent.parent / "imagenet_labels.txt"
path.write_text("\n".join([header, *names]) + "\n", encoding="utf-8", newline="\n")
