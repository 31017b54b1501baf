#!/usr/bin/env python3
"""Fine-tunes torchvision's mobilenet_v2 by Ultralytics' defaults for classification, and prints a line of JSON.

    ultra.py --data DIR --weights FILE.pth --resolution 64 --epochs 10 --seed 0

DIR has train/ and val/. The network is what Ultralytics makes of torchvision's: its module
TorchVision without the classifier, and its own head Classify behind that. Its loader doesn't
normalise pixels, which weights of ImageNet want: that is put into the first convolution.
Everything else is its default (optimizer by number of steps, RandAugment, erasing, mean of
the weights), but for the epochs, of which it has 100. The best epoch in validation is kept.
Its own networks are yolo*-cls, whose weights are releases on GitHub: --model yolo11n-cls.pt
fine-tunes one where they can be fetched.
"""
import argparse
import csv
import json
import os
import tempfile
import time

import torch
import torchvision
import ultralytics
from ultralytics import YOLO

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def network(weights, folder):
    """Ultralytics' model of mobilenet_v2 with weights. Its parser writes the number of classes into the head itself."""
    path = os.path.join(folder, "mobilenetv2-cls.yaml")
    with open(path, "w") as f:
        f.write('nc: 1000\nbackbone:\n  - [-1, 1, TorchVision, [1280, mobilenet_v2, null, True, 1]]\nhead:\n  - [-1, 1, Classify, [nc]]\n')
    theirs = torchvision.models.mobilenet_v2()
    theirs.load_state_dict({k: v for k, v in torch.load(weights).items() if not k.startswith("classifier.")}, strict=False)
    conv, norm = theirs.features[0][0], theirs.features[0][1]
    with torch.no_grad():  # w*(x-mean)/std: the norm's bias takes what the borders do not have
        conv.weight /= STD.view(1, 3, 1, 1)
        norm.running_mean += (conv.weight * MEAN.view(1, 3, 1, 1)).sum((1, 2, 3))
    model = YOLO(path, task="classify")
    model.model.model[0].m.load_state_dict({k[len("features."):]: v for k, v in theirs.state_dict().items() if k.startswith("features.")})
    model.ckpt = {"model": model.model}  # so that the trainer takes the weights
    return model


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, kind in ("data", str), ("weights", str), ("model", str), ("resolution", int), ("epochs", int), ("seed", int):
        p.add_argument("--" + name, type=kind)
    a = p.parse_args()
    torch.set_num_threads(1)
    began = time.time()
    with tempfile.TemporaryDirectory() as folder:
        model = YOLO(a.model) if a.model else network(a.weights, folder)
        model.train(data=os.path.abspath(a.data), imgsz=a.resolution, epochs=a.epochs, seed=a.seed, device="cpu", workers=0, amp=False,
                    plots=False, verbose=False, project=folder, name="run")
        with open(os.path.join(folder, "run", "results.csv")) as f:
            rows = [{k.strip(): v for k, v in row.items()} for row in csv.DictReader(f)]
    curve = [float(row["metrics/accuracy_top1"]) for row in rows]
    print(json.dumps({"val": max(curve), "curve": curve, "seconds": time.time() - began, "cpu": sum(os.times()[:2]), "version": ultralytics.__version__}))


if __name__ == "__main__":
    main()
