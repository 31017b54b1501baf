"""Writes distil.json: PyTorch's loss of distillation (arXiv 1503.02531),

    (1-w)*CE(student, targets) + w*T^2*KL(softmax(teacher/T) || softmax(student/T))

    /usr/bin/python3 train/testdata/distil.py

"losses" has loss and gradient at the logits of random ones, in float64, for several T
and w. "step" has the loss of golden.py's network on its batch, in float32, with the
gradients of some layers from the last to the first: what the loss sends back through
all of the network.
"""
import json
import os

import torch
from torch.nn import functional as F

import golden

GRADIENTS = ["classifier.1.weight", "classifier.1.bias", "features.7.1.weight", "features.3.conv.1.0.weight", "features.0.0.weight", "features.0.1.bias"]


def distil(logits, targets, teacher, temperature, weight):
    soft = F.kl_div(F.log_softmax(logits / temperature, 1), F.log_softmax(teacher / temperature, 1), reduction="batchmean", log_target=True)
    return (1 - weight) * F.cross_entropy(logits, targets) + weight * temperature ** 2 * soft


def losses():
    torch.manual_seed(4)
    logits = torch.randn(6, 4, dtype=torch.float64).mul(3)
    teacher = torch.randn(6, 4, dtype=torch.float64).mul(5)
    targets = torch.full((6, 4), 0.1 / 4, dtype=torch.float64)
    targets[torch.arange(6), torch.tensor([0, 1, 2, 3, 3, 3])] += 0.9
    rows = []
    for temperature, weight in [(1, 1), (1, 0.3), (2.5, 0.7), (4, 0.9), (20, 1)]:
        z = logits.clone().requires_grad_()
        loss = distil(z, targets, teacher, temperature, weight)
        loss.backward()
        rows.append({"temperature": temperature, "weight": weight, "loss": loss.item(), "grad": z.grad.flatten().tolist()})
    return {"classes": 4, "logits": logits.flatten().tolist(), "teacher": teacher.flatten().tolist(), "targets": targets.flatten().tolist(), "rows": rows}


def step():
    torch.manual_seed(golden.SEED)  # and the same calls as there: the same network and batch
    torch.set_num_threads(1)
    net = golden.network()
    x = torch.randn(8, 3, 40, 40)
    labels = torch.randint(0, 5, (8,))
    mask = (torch.rand(8, golden.LAST) >= golden.DROPOUT).float()
    teacher = torch.randn(8, 5).mul(3)
    net.classifier[0].mask = mask
    loss = distil(net(x), F.one_hot(labels, 5).float(), teacher, 3, 0.6)
    loss.backward()
    grads = {k: p.grad.flatten().tolist() for k, p in net.named_parameters() if k in GRADIENTS}
    assert len(grads) == len(GRADIENTS), sorted(k for k, _ in net.named_parameters())
    return {"temperature": 3, "weight": 0.6, "teacher": teacher.flatten().tolist(), "loss": loss.item(), "grads": grads}


path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "distil.json")
with open(path, "w") as f:
    json.dump({"torch": torch.__version__, "losses": losses(), "step": step()}, f)
    f.write("\n")
