"""PyTorch's side of bench/train's data pipeline: torchvision and Pillow on one core.

Prints a JSON object with images_per_second over the photos of a folder, from files to
normalised tensors, for about as many seconds as asked for.
"""
import json
import os
import sys
import time

import torch
from PIL import Image
from torchvision import transforms

folder, seconds = sys.argv[1], float(sys.argv[2])
torch.set_num_threads(1)
augment = transforms.Compose([
    transforms.RandomResizedCrop(224),
    transforms.RandomHorizontalFlip(),
    transforms.ToTensor(),
    transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
])
files = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
augment(Image.open(files[0]).convert("RGB"))
start, n = time.perf_counter(), 0
while time.perf_counter() - start < seconds:
    for path in files:
        augment(Image.open(path).convert("RGB"))
    n += len(files)
print(json.dumps({"images_per_second": n / (time.perf_counter() - start), "images": n}))
