"""mobilenet explain beside pytorch-grad-cam, on the same photos, in alternation.

    go build -o mobilenet ./cmd/mobilenet
    python3 bench/explain.py ./mobilenet WEIGHTS.pth FOLDER [--rounds 3] [--threads N] [--only NAME] [--one-by-one]

It runs in a Python with torch, torchvision and grad-cam (see explain/testdata/gradcam.py). WEIGHTS is a state dict
of torchvision's mobilenet_v2. FOLDER holds photos, of which 100 are taken; photos of 500x375 are made where it is "-".

Ours is the whole process, from the command line to the files; theirs is the loop over the photos alone, without imports
and loading, in batches of 16, or one by one, which is slower; both with as many THREADS, one a core by default. "maps" ends
with the maps as files of numbers. "pictures" ends with PNG files of the photo and, beside it, the map over it, ours with names
and a legend. "overlays" has, of theirs, what its README does: a JPEG of the 224x224 that the network sees. In brackets is
the time of all cores.
"""
import argparse
import os
import pathlib
import resource
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cv2
import numpy as np
import torch
import torchvision
from PIL import Image
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.image import show_cam_on_image
from torchvision.transforms import CenterCrop, Compose, Normalize, Resize, ToTensor

from common import features_of_cpu, photos, processor, whole_process


def seen(w, h):
    """The part of a photo that is left of the resize to 256 and the crop of 224."""
    side = round(min(w, h) * 224 / 256)
    return (w - side) // 2, (h - side) // 2, side


def picture(photo, heat):
    """The photo, and beside it the map over the part of it that the network sees."""
    levels = np.asarray(photo)[:, :, ::-1]
    x, y, side = seen(*photo.size)
    over = levels.copy()
    part = over[y : y + side, x : x + side]
    part[:] = show_cam_on_image(np.float32(part) / 255, cv2.resize(heat, (side, side)))
    return np.hstack([levels, over])


def theirs(model, layer, files, out, batch, kind):
    crop = Compose([Resize(256), CenterCrop(224)])
    tensor = Compose([ToTensor(), Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])
    start, used = time.perf_counter(), time.process_time()
    with GradCAM(model=model, target_layers=[model.features[layer]]) as cam:
        for at in range(0, len(files), batch):
            some = files[at : at + batch]
            photos = [Image.open(f).convert("RGB") for f in some]
            crops = [crop(p) for p in photos]
            for f, p, c, heat in zip(some, photos, crops, cam(input_tensor=torch.stack([tensor(c) for c in crops]), targets=None)):
                to = os.path.join(out, os.path.basename(f))
                if kind == "maps":
                    np.save(to, heat)
                elif kind == "pictures":
                    cv2.imwrite(to + ".png", picture(p, heat))
                else:
                    cv2.imwrite(to + ".jpg", show_cam_on_image(np.float32(c)[:, :, ::-1] / 255, heat))
    return time.perf_counter() - start, time.process_time() - used


def used_by_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def ours(binary, weights, files, layer, kind, threads):
    with tempfile.TemporaryDirectory() as out:
        command = [binary, "explain", "-m", weights, "-o", out, "--format", "npy" if kind == "maps" else "png", "--relu", "--threads", str(threads)]
        used = used_by_children()
        return whole_process(command + ["--layer", "features.%d" % layer] + files)[0] / 1000, used_by_children() - used


ROWS = (
    ("CAM, maps", 18, "maps"),
    ("Grad-CAM of features.14, maps", 14, "maps"),
    ("CAM, pictures", 18, "pictures"),
    ("CAM, overlays", 18, "overlays"),
)


def main():
    args = argparse.ArgumentParser()
    args.add_argument("binary")
    args.add_argument("weights")
    args.add_argument("folder")
    args.add_argument("--rounds", type=int, default=3)
    args.add_argument("--threads", type=int, default=os.cpu_count())
    args.add_argument("--only", default="", help="rows whose name has this in it")
    args.add_argument("--one-by-one", action="store_true", help="theirs without batches")
    args = args.parse_args()
    with tempfile.TemporaryDirectory() as made:
        if args.folder == "-":
            photos(made, 100)
            args.folder = made
        files = sorted(str(p) for p in pathlib.Path(args.folder).iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))[:100]
        torch.set_num_threads(args.threads)
        model = torchvision.models.mobilenet_v2()
        model.load_state_dict(torch.load(args.weights))
        model.eval()
        print("%s (%s), %d photos, torch %s with %d threads" % (
            processor(), ", ".join(features_of_cpu()), len(files), torch.__version__, torch.get_num_threads()))
        print("milliseconds a photo, and of all cores' time; the least and the median of %d rounds in alternation" % args.rounds)
        print("| what | mobilenet explain | pytorch-grad-cam | ours / theirs |\n|---|---|---|---|")
        for name, layer, kind in ROWS:
            if args.only not in name:
                continue
            times = []
            for _ in range(args.rounds):
                with tempfile.TemporaryDirectory() as out:
                    times.append((
                        ours(args.binary, args.weights, files, layer, kind, args.threads),
                        theirs(model, layer, files, out, 1 if args.one_by_one else 16, kind),
                    ))
            times = 1000 * np.array(times) / len(files)  # [round][ours, theirs][all, of the cores]
            least, median = times.min(axis=0), np.median(times, axis=0)
            cell = lambda i: "%.1f, %.1f (%.1f)" % (least[i, 0], median[i, 0], least[i, 1])
            print("| %s | %s | %s | %.3f, %.3f |" % (name, cell(0), cell(1), *(least[0, 0] / least[1, 0], median[0, 0] / median[1, 0])), flush=True)


main()
