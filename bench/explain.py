"""mobilenet explain beside pytorch-grad-cam, on the same photos, in alternation.

    go build -o mobilenet ./cmd/mobilenet
    python3 bench/explain.py ./mobilenet WEIGHTS.pth FOLDER [ROUNDS [THREADS]]

It runs in a Python with torch, torchvision and grad-cam (see explain/testdata/gradcam.py). WEIGHTS is a state dict
of torchvision's mobilenet_v2. FOLDER holds photos, of which 100 are taken; photos of 500x375 are made where it is "-".

Ours is the whole process, from the command line to the files; theirs is the loop over the photos alone, without imports
and loading, one photo at a time and in batches of 16, both with as many THREADS, one a core by default. "maps" ends with the
maps as files of numbers, "pictures" with overlays: ours PNG of the whole photo beside it, theirs JPEG of the 224x224
that the network sees. In brackets is the time of all cores, which other programs disturb less.
"""
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


def theirs(model, layer, files, out, batch, pictures):
    crop = Compose([Resize(256), CenterCrop(224)])
    tensor = Compose([ToTensor(), Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])
    start, used = time.perf_counter(), time.process_time()
    with GradCAM(model=model, target_layers=[model.features[layer]]) as cam:
        for at in range(0, len(files), batch):
            some = files[at : at + batch]
            crops = [crop(Image.open(f).convert("RGB")) for f in some]
            for f, c, heat in zip(some, crops, cam(input_tensor=torch.stack([tensor(c) for c in crops]), targets=None)):
                to = os.path.join(out, os.path.basename(f))
                if pictures:
                    cv2.imwrite(to + ".jpg", show_cam_on_image(np.float32(c)[:, :, ::-1] / 255, heat))
                else:
                    np.save(to, heat)
    return time.perf_counter() - start, time.process_time() - used


def used_by_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def ours(binary, weights, files, layer, pictures, threads):
    with tempfile.TemporaryDirectory() as out:
        command = [binary, "explain", "-m", weights, "-o", out, "--format", "png" if pictures else "npy", "--relu", "--threads", str(threads)]
        used = used_by_children()
        return whole_process(command + ["--layer", "features.%d" % layer] + files)[0] / 1000, used_by_children() - used


def main():
    binary, weights, folder = sys.argv[1:4]
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 5
    threads = int(sys.argv[5]) if len(sys.argv) > 5 else os.cpu_count()
    with tempfile.TemporaryDirectory() as made:
        if folder == "-":
            photos(made, 100)
            folder = made
        files = sorted(str(p) for p in pathlib.Path(folder).iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))[:100]
        torch.set_num_threads(threads)
        model = torchvision.models.mobilenet_v2()
        model.load_state_dict(torch.load(weights))
        model.eval()
        print("%s (%s), %d photos, torch %s with %d threads" % (
            processor(), ", ".join(features_of_cpu()), len(files), torch.__version__, torch.get_num_threads()))
        print("milliseconds a photo, and of all cores' time; the least of %d rounds in alternation" % rounds)
        print("| what | mobilenet explain | pytorch-grad-cam, one by one | in batches of 16 | ours / theirs |\n|---|---|---|---|---|")
        for name, layer, pictures in (("CAM, maps", 18, False), ("CAM, pictures", 18, True), ("Grad-CAM of features.14, maps", 14, False)):
            best = np.full((3, 2), np.inf)
            for _ in range(rounds):
                with tempfile.TemporaryDirectory() as out:
                    for i, run in enumerate((
                        lambda: ours(binary, weights, files, layer, pictures, threads),
                        lambda: theirs(model, layer, files, out, 1, pictures),
                        lambda: theirs(model, layer, files, out, 16, pictures),
                    )):
                        best[i] = np.minimum(best[i], 1000 * np.array(run()) / len(files))
            cells = ["%.1f (%.1f)" % tuple(b) for b in best]
            ratios = "%.3f (%.3f)" % tuple(best[0] / best[1:].min(axis=0))
            print("| %s | %s | %s |" % (name, " | ".join(cells), ratios), flush=True)


main()
