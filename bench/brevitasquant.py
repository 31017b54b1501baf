"""Quantises MobileNetV2's weights with Brevitas, in a Python that has it, torch and torchvision.

brevitasquant.py WEIGHTS.pth PHOTOS.npz LOGITS.npy SETTING: PHOTOS has "calibrate" and "measure",
[n,3,224,224] of normalised float32, LOGITS is [n,classes] of the second. A process of its own,
since Brevitas 0.10 wants another torch than most Pythons have. Settings are those of its own
example of post-training quantisation.
"""
import os
import sys

os.environ.setdefault("BREVITAS_JIT", "0")

import brevitas
import numpy as np
import torch
from brevitas.graph.quantize import preprocess_for_quantize
from brevitas_examples.imagenet_classification.ptq.ptq_common import (
    apply_act_equalization, apply_bias_correction, calibrate, quantize_model)
from torchvision.models import mobilenet_v2

SETTINGS = {
    "percentile": dict(act_param_method="stats", weight_param_method="stats"),
    "mse": dict(act_param_method="mse", weight_param_method="mse"),
}


def main():
    if sys.argv[1:] == ["--version"]:
        print(brevitas.__version__)
        return
    weights, photos, out, setting = sys.argv[1:]
    state = torch.load(weights, map_location="cpu")
    model = mobilenet_v2(num_classes=len(state["classifier.1.bias"]))
    model.load_state_dict(state)
    model.eval()
    data = np.load(photos)
    loader = [(torch.from_numpy(x[None]), torch.zeros(1)) for x in data["calibrate"]]
    with torch.no_grad():
        model = preprocess_for_quantize(model, equalize_iters=20, equalize_merge_bias=True)
        apply_act_equalization(model, loader, layerwise=False)
        q = quantize_model(
            model, backend="fx", weight_bit_width=8, act_bit_width=8, bias_bit_width=32, weight_quant_granularity="per_channel",
            act_quant_percentile=99.999, act_quant_type="asym", scale_factor_type="float_scale", quant_format="int",
            weight_narrow_range=True, **SETTINGS[setting])
        calibrate(loader, q)
        apply_bias_correction(loader, q)
        q.eval()
        np.save(out, np.concatenate([q(torch.from_numpy(x[None])).numpy() for x in data["measure"]]))


if __name__ == "__main__":
    main()
