"""PyTorch's side of bench/train's fine-tune: a new head on the features of a frozen MobileNetV2.

Computes the features of an ImageFolder once, then trains the classifier for ten epochs.
"""
import sys

import torch
import torchvision
from torch import nn
from torchvision import transforms

folder, epochs, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
torch.manual_seed(0)
data = torchvision.datasets.ImageFolder(folder, transforms.Compose([
    transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
    transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
]))
net = torchvision.models.mobilenet_v2(weights=None).eval().to(memory_format=torch.channels_last)
features, labels = [], []
with torch.inference_mode():
    body = torch.jit.optimize_for_inference(torch.jit.trace(net.features, torch.zeros(32, 3, 224, 224).to(memory_format=torch.channels_last)))
    for x, y in torch.utils.data.DataLoader(data, batch_size=32, num_workers=threads):
        features.append(body(x.to(memory_format=torch.channels_last)).mean((2, 3)))
        labels.append(y)
features, labels = torch.cat(features).clone(), torch.cat(labels)
head = nn.Sequential(nn.Dropout(0.2), nn.Linear(features.shape[1], len(data.classes)))
optimizer = torch.optim.SGD(head.parameters(), lr=0.01, momentum=0.9)
loss = nn.CrossEntropyLoss()
for _ in range(epochs):
    for i in torch.randperm(len(labels)).split(32):
        optimizer.zero_grad()
        loss(head(features[i]), labels[i]).backward()
        optimizer.step()
