# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The library in a notebook
#
# `ofb_ray.compress` takes a trained timm network and map-style datasets, and returns a smaller network. It needs
# neither a sweep file nor Ray. This notebook is executed by a test; its sizes are those of a first run.

# %%
import tempfile

import timm
import torch
from matplotlib import pyplot
from sklearn.datasets import load_digits
from torch.utils.data import Subset, TensorDataset

import ofb_ray

torch.manual_seed(0)
torch.set_num_threads(1)

# %% [markdown]
# ## A network and its data
#
# Any map-style dataset of (image, label) will do. Float tensors are taken as they are; PIL images and uint8
# pixels are resized and normalised. Here: the handwritten digits of scikit-learn, and a small ViT that is trained
# on them in plain PyTorch.

# %%
digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16 - 0.5
data = TensorDataset(images, torch.tensor(digits.target))
order = torch.randperm(len(data)).tolist()
train, val, test = (Subset(data, part) for part in (order[:1200], order[1200:1500], order[1500:]))

net = timm.create_model(
    "vit_tiny_patch16_224", img_size=8, patch_size=4, in_chans=1, embed_dim=48, depth=2, num_heads=4, num_classes=10
)
optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
for _ in range(15):
    for batch in torch.utils.data.DataLoader(train, batch_size=64, shuffle=True):
        loss = torch.nn.functional.cross_entropy(net(batch[0]), batch[1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

# %% [markdown]
# ## What can be searched
#
# `describe` lists the axes, their candidate sizes, their share of the MACs, and the smallest network that can be
# reached.

# %%
print(ofb_ray.describe(net))

# %% [markdown]
# ## Compress it
#
# `budget` is a share of the MACs, or a mapping such as `{"params": 20_000}`. `epochs` is that of the search and
# of fine-tuning, each. `val` selects; `test` is read once, at the end. All keys of a sweep's `search` and
# `finetune` are keyword arguments: `search={"one_hot_weight": 1.0}`, or `search__space__keep=["blocks.0.*"]` with
# two underscores for a dot. The network that is passed in stays as it is.

# %%
result = ofb_ray.compress(net, train, val, test, budget=0.5, epochs=8, quiet=True)
result

# %%
result.widths

# %% [markdown]
# `result.net` is a plain timm network, `result.record` is the record of the run with its history, cuts and
# environment. `save` writes a folder that `load` reads:

# %%
folder = f"{tempfile.mkdtemp()}/subnet"
result.save(folder)
small = ofb_ray.load(folder)
for each in (net, small):
    print(sum(tensor.numel() for tensor in each.parameters()), "parameters")

# %% [markdown]
# ## Several budgets
#
# `front` compresses to several budgets and draws what each MAC buys. With `epochs=0` it needs no training: calibration
# images give the widths and the weights of each budget, and there are eight budgets unless you name them.

# %%
untrained = ofb_ray.front(net, train, val, epochs=0, quiet=True)
untrained.frame()[["budget", "share", "macs", "params", "top1_val"]].round(3)

# %% [markdown]
# The same with four epochs of search and four of fine-tuning. For more than a handful of runs, for hyperparameters,
# several machines or recovery from crashes, write a sweep file: [Write a sweep file](../how-to/sweep-file.md).

# %%
front = ofb_ray.front(net, train, val, test, budgets=[0.3, 0.5, 0.7], epochs=4, quiet=True)
front.frame()[["budget", "share", "macs", "params", "top1_val", "top1_test"]].round(3)

# %%
figure, axes = pyplot.subplots(figsize=(6, 3.5))
front.draw(axes)
