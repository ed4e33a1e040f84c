"""What the commands know by name: objectives, fairness classes of published results, and the paper's tables."""

from __future__ import annotations

ACCURACIES = {
    "top1_val": "held-out top-1 (%)",
    "top5_val": "held-out top-5 (%)",
    "top1_test": "test top-1 (%)",
    "top5_test": "test top-5 (%)",
}
SIZES = {"macs": "MACs per image", "params": "parameters"}
OBJECTIVES = (*ACCURACIES, *SIZES, "latency", "latency_ratio", "search_cost")
# What a network started from and what was done to it: results of different classes do not compare.
STARTS = {
    "plain": "ImageNet-1k weights, no teacher",
    "teacher": "distilled weights or a teacher",
    "tokens": "fewer tokens at run time, parameters unchanged",
    "extra-data": "more data than ImageNet-1k",
    "scratch": "searched or designed, trained from scratch",
    "unstructured": "weights set to zero, none removed",
    "unknown": "start not stated",
}
TABLES = ("main", "swin", "search-cost", "transfer", "ablation-mask", "ablation-one-hot", "ablation-pmim")
