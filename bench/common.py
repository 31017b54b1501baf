"""What the comparisons of bench/run and bench/train have in common."""
import csv
import os
import platform
import random
import subprocess
import sys

from PIL import Image

# torch for CPUs comes with the system; pip's carries gigabytes of CUDA.
TORCH_PYTHON = os.environ.get("MOBILENET_BENCH_TORCH", "/usr/bin/python3")

# OpenBLAS settings of the surroundings would slow numpy down, not the peers.
for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)


def torch_version():
    """Returns TORCH_PYTHON's version of torch; ImportError if it has none or no torchvision."""
    try:
        out = subprocess.run([TORCH_PYTHON, "-c", "import torch, torchvision; print(torch.__version__)"], capture_output=True, text=True)
    except OSError as e:
        raise ImportError(e)
    if out.returncode != 0:
        raise ImportError("%s has no torch and torchvision" % TORCH_PYTHON)
    return out.stdout.strip()


def photos(folder, n):
    """JPEG files of 500x375 with as much detail as photos have."""
    r = random.Random(1)
    for i in range(n):
        small = Image.frombytes("RGB", (40, 30), bytes(r.randrange(256) for _ in range(40 * 30 * 3)))
        noise = Image.frombytes("RGB", (500, 375), r.randbytes(500 * 375 * 3))
        Image.blend(small.resize((500, 375), Image.BICUBIC), noise, 0.08).save(os.path.join(folder, "%04d.jpg" % i), quality=90)


# A process as small as this one's interpreter starts the command: the peak that the
# system reports begins with that of whoever started it.
SPAWN = """
import os, subprocess, sys, time
start = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
print(1000 * (time.perf_counter() - start), usage.ru_maxrss / 1024, status)
"""


class CommandFailed(Exception):
    """Says what the command wrote to standard error."""


def whole_process(command, env=None):
    """Returns the milliseconds and the peak MB of a command."""
    out = subprocess.run([sys.executable, "-S", "-E", "-c", SPAWN] + command, env=env, capture_output=True, text=True)
    took, peak, status = out.stdout.split() if out.returncode == 0 else (0, 0, "not started")
    if status != "0":
        raise CommandFailed(out.stderr.strip())
    return float(took), float(peak)


def processor():
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as f:
            for line in f:
                if line.startswith("model name"):
                    return line.split(":")[1].strip()
    return platform.processor()


# What kernels differ by.
FEATURES = ("avx2", "fma", "avx512f", "avx512vl", "avx512_vnni", "avx_vnni", "asimd", "asimddp")


def features_of_cpu():
    """Returns those of FEATURES that Linux says the CPU has."""
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as f:
            for line in f:
                if line.split(":")[0].strip() in ("flags", "Features"):
                    have = line.split(":")[1].split()
                    return [name for name in FEATURES if name in have]
    return []


def report(rows, folder, name):
    """Prints rows, the first being the header, and writes them to folder unless it is empty."""
    lines = ["| " + " | ".join(r) + " |" for r in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    print("\n".join(lines))
    if folder:
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, name + ".md"), "w") as f:
            f.write("\n".join(lines) + "\n")
        with open(os.path.join(folder, name + ".csv"), "w", newline="") as f:
            csv.writer(f).writerows(rows)
