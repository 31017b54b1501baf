"""Writes weighted.json: PyTorch's cross-entropy with weights of the classes.

    /usr/bin/python3 train/testdata/weighted.py

Each image has the loss of its smoothed label, times the weight of its class, and two
labels are mixed; in float64. PyTorch's own weight= also multiplies what label smoothing
gives to the other classes: with 50 times as many images of one class as of another the
rare one then gets more of a frequent image's target than its own class.
"""
import json
import os

import torch

torch.manual_seed(3)
logits = torch.randn(6, 4, dtype=torch.float64).mul(3).requires_grad_()
labels = torch.tensor([0, 1, 2, 3, 3, 3])
smooth = 0.1
weights = torch.tensor([1.5, 1.5, 1.5, 0.5], dtype=torch.float64)  # 6 images, 4 classes


def each(labels):
    return weights[labels] * torch.nn.functional.cross_entropy(logits, labels, label_smoothing=smooth, reduction="none")


loss = (0.7 * each(labels) + 0.3 * each(labels.roll(1, 0))).mean()
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
