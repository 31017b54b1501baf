#!/usr/bin/env python3
"""Fine-tunes torchvision's mobilenet_v2 as torchvision's recipe for it says, and prints a line of JSON.

    torchtune.py --data DIR --weights FILE.pth --width 1 --resolution 224 --lr 0.001 --epochs 10 --seed 0

The recipe is that of PyTorch's tutorial on transfer learning: SGD 0.9, a tenth of the
rate after 7 of 25 epochs and again 7 later (here after so many of the epochs), random
crops and flips, all layers. Batches of 16: that is faster than the tutorial's 4. The
best epoch in validation is kept. With --keras the weights are those of
keras.applications, converted (mobilenet convert): pixels from -1 to 1, borders at
the bottom and on the right, and BatchNorm's epsilon 0.001.
"""
import argparse
import glob
import json
import os
import time

import torch
import torchvision
from torchvision import transforms as T


def as_keras(model):
    """Makes borders of strided convolutions and epsilons what weights of Keras were trained with. The sides of their inputs are even."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-3
        elif isinstance(module, torch.nn.Conv2d) and module.stride == (2, 2):
            module.padding = (0, 0)
            module.register_forward_pre_hook(lambda _, x: torch.nn.functional.pad(x[0], (0, 1, 0, 1)))


def main():
    p = argparse.ArgumentParser()
    for name, kind in ("data", str), ("weights", str), ("width", float), ("resolution", int), ("lr", float), ("epochs", int), ("seed", int), ("threads", int):
        p.add_argument("--" + name, type=kind, default=1 if name == "threads" else None)
    p.add_argument("--keras", action="store_true")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    norm = T.Normalize([0.5] * 3, [0.5] * 3) if a.keras else T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    train = T.Compose([T.RandomResizedCrop(a.resolution), T.RandomHorizontalFlip(), T.ToTensor(), norm])
    plain = T.Compose([T.Resize(round(a.resolution * 256 / 224)), T.CenterCrop(a.resolution), T.ToTensor(), norm])
    sets = {part: torchvision.datasets.ImageFolder(os.path.join(a.data, part), train if part == "train" else plain)
            for part in ("train", "val")}
    classes = len(sets["train"].classes)
    model = torchvision.models.mobilenet_v2(width_mult=a.width)
    dict = torch.load(a.weights)
    model.load_state_dict({k: v for k, v in dict.items() if not k.startswith("classifier.")}, strict=False)
    model.classifier[1] = torch.nn.Linear(model.last_channel, classes)
    if a.keras:
        as_keras(model)
    opt = torch.optim.SGD(model.parameters(), lr=a.lr, momentum=0.9)
    steps = max(1, round(a.epochs * 7 / 25))
    schedule = torch.optim.lr_scheduler.StepLR(opt, steps, 0.1)
    loader = torch.utils.data.DataLoader(sets["train"], batch_size=16, shuffle=True, drop_last=len(sets["train"]) % 16 == 1)

    def accuracy(part):
        model.eval()
        right = n = 0
        with torch.no_grad():
            for x, y in torch.utils.data.DataLoader(sets[part], batch_size=32):
                right += (model(x).argmax(1) == y).sum().item()
                n += len(y)
        return right / n

    began, curve = time.time(), []
    for _ in range(a.epochs):
        model.train()
        for x, y in loader:
            opt.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            opt.step()
        schedule.step()
        curve.append(accuracy("val"))
    print(json.dumps({"val": max(curve), "curve": curve, "seconds": time.time() - began, "cpu": sum(os.times()[:2])}))


if __name__ == "__main__":
    main()
