"""Writes weighted.json: PyTorch's cross-entropy with weights of the classes.

    /usr/bin/python3 train/testdata/weighted.py

Targets are probabilities: smoothed labels, two of them mixed. "loss" and "grad" are of
CrossEntropyLoss(weight=weights)(logits, targets), in float64.
"""
import json
import os

import torch

torch.manual_seed(3)
logits = torch.randn(6, 4, dtype=torch.float64).mul(3).requires_grad_()
labels = torch.tensor([0, 1, 2, 3, 3, 3])
smooth = 0.1
targets = torch.full((6, 4), smooth / 4, dtype=torch.float64)
targets[torch.arange(6), labels] += 1 - smooth
targets = 0.7 * targets + 0.3 * targets.roll(1, 0)
weights = torch.tensor([1.5, 1.5, 1.5, 0.5], dtype=torch.float64)  # 6 images, 4 classes
loss = torch.nn.functional.cross_entropy(logits, targets, weight=weights)
loss.backward()
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "weighted.json")
with open(path, "w") as f:
    json.dump(
        {
            "torch": torch.__version__,
            "smoothing": smooth,
            "mix": 0.7,
            "labels": labels.tolist(),
            "logits": logits.tolist(),
            "weights": weights.tolist(),
            "loss": loss.item(),
            "grad": logits.grad.tolist(),
        },
        f,
        indent=1,
    )
    f.write("\n")
