"""What transformers, timm or Keras make of a model of ours, and a model of theirs for us.
TestPeers runs it, with the interpreter that MOBILENET_TRANSFORMERS (transformers, timm and
torch) or MOBILENET_KERAS (keras) names.

    peers.py transformers|timm|keras MODEL    prints its logits
    peers.py new WIDTH same|torch FOLDER      makes a folder with transformers, and prints its logits

Input and output are as in golden.py; printed is JSON.
"""
import json
import os
import sys

import numpy as np


def image(h, w):
    i = np.arange(2 * h * w * 3, dtype=np.uint64)
    x = (((i * 2654435761) >> 13 & 255).astype(np.float32) / 64 - 2).reshape(2, h, w, 3)
    return x


def torch_logits(model, x):
    import torch

    with torch.no_grad():
        y = model.eval()(torch.from_numpy(x).permute(0, 3, 1, 2).contiguous())
    return y if isinstance(y, torch.Tensor) else y.logits


def main(kind, path, *more):
    x = image(64, 64)
    if kind == "transformers":
        import transformers

        model = transformers.AutoModelForImageClassification.from_pretrained(path)
        processor = transformers.AutoImageProcessor.from_pretrained(path)
        y, about = torch_logits(model, x), [processor.size.get("shortest_edge", 0), processor.crop_size["height"], model.config.id2label[1]]
    elif kind == "timm":
        import timm
        from safetensors.torch import load_file

        config = json.load(open(os.path.join(path, "config.json")))
        model = timm.create_model(config["architecture"], num_classes=config["num_classes"], **config.get("model_args", {}))
        model.load_state_dict(load_file(os.path.join(path, "model.safetensors")))
        data = timm.data.resolve_data_config(config["pretrained_cfg"])
        crop = timm.data.create_transform(**data).transforms[:2]
        y, about = torch_logits(model, x), [crop[0].size, crop[1].size[0], config["pretrained_cfg"]["label_names"][1]]
    elif kind == "new":
        import torch
        import transformers

        torch.manual_seed(1)
        config = transformers.MobileNetV2Config(depth_multiplier=float(path), tf_padding=more[0] == "same", num_labels=3, image_size=64)
        model = transformers.MobileNetV2ForImageClassification(config)
        for m in model.modules():
            if isinstance(m, torch.nn.Conv2d):
                variance = m.weight[0].numel() * m.weight.var().item()
            if isinstance(m, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(m.running_var, variance, 2 * variance)
                torch.nn.init.uniform_(m.bias, -0.5, 1)
        model.save_pretrained(more[1])
        transformers.MobileNetV2ImageProcessor(size={"shortest_edge": 80}, crop_size={"height": 64, "width": 64}).save_pretrained(more[1])
        y, about = torch_logits(model, x), []
    elif kind == "keras":
        import keras

        if path.endswith(".weights.h5"):
            width, classes = float(more[0]), int(more[1])
            model = keras.applications.MobileNetV2(input_shape=(64, 64, 3), alpha=width, weights=None, classes=classes, classifier_activation=None)
            model.load_weights(path)
        else:
            model = keras.saving.load_model(path)
        y, about = np.asarray(model.predict(x, verbose=0)), list(model.input_shape[1:3])
    print(json.dumps({"logits": np.asarray(y).flatten().astype(float).tolist(), "about": about}))


main(*sys.argv[1:])
