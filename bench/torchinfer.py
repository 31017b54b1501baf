"""PyTorch's side of bench/run, in an interpreter that has torch and torchvision.

Reads numbers of runs from standard input, a line each, and answers each with the
minimum and the median of as many runs, in milliseconds.
"""
import statistics
import sys
import time

import torch
import torchvision

width, resolution, batch, threads = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
torch.set_num_threads(threads)
torch.manual_seed(0)
net = torchvision.models.mobilenet_v2(weights=None, width_mult=width).eval().to(memory_format=torch.channels_last)
x = torch.randn(batch, 3, resolution, resolution).to(memory_format=torch.channels_last)
with torch.inference_mode():
    # Folds BatchNorm and fuses ReLU6.
    net = torch.jit.optimize_for_inference(torch.jit.trace(net, x))
    for _ in range(5):
        net(x)
    print(torch.__version__, flush=True)
    for line in sys.stdin:
        took = []
        for _ in range(int(line)):
            start = time.perf_counter()
            net(x)
            took.append(1000 * (time.perf_counter() - start))
        print(min(took), statistics.median(took), flush=True)
