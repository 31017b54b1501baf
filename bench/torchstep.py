"""One side of bench/train: PyTorch's training step, alone in its process.

Prints a JSON object like `mobilenet bench --train --format json` does: min_ms and
median_ms of a step, peak_rss_bytes of the process.
"""
import argparse
import json
import resource
import statistics
import time

import torch
import torchvision

p = argparse.ArgumentParser(description=__doc__)
p.add_argument("--batch", type=int, default=16)
p.add_argument("--threads", type=int, default=2)
p.add_argument("--resolution", type=int, default=224)
p.add_argument("--runs", type=int, default=10)
p.add_argument("--channels-last", action="store_true", help="the memory layout oneDNN likes better")
a = p.parse_args()

torch.set_num_threads(a.threads)
torch.manual_seed(0)
layout = torch.channels_last if a.channels_last else torch.contiguous_format
net = torchvision.models.mobilenet_v2(weights=None).train().to(memory_format=layout)
optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=4e-5)
loss = torch.nn.CrossEntropyLoss()
x = torch.randn(a.batch, 3, a.resolution, a.resolution).to(memory_format=layout)
labels = torch.randint(0, 1000, (a.batch,))


def step():
    optimizer.zero_grad(set_to_none=True)
    loss(net(x), labels).backward()
    optimizer.step()


for _ in range(2):
    step()
took = []
for _ in range(a.runs):
    start = time.perf_counter()
    step()
    took.append(1000 * (time.perf_counter() - start))
print(json.dumps({
    "min_ms": min(took), "median_ms": statistics.median(took), "batch": a.batch, "threads": a.threads,
    "peak_rss_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    "version": "torch %s, torchvision %s" % (torch.__version__, torchvision.__version__),
}))
