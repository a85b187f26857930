"""PyTorch's convolutions on the layers of bench_conv, the better of its two memory formats:
python bench/conv_torch.py [--threads N] [--samples N] [--seconds S] [--layer NAME] [--cuda]

--cuda: cuDNN's, the fastest of its algorithms, in float32 and in TF32.
"""

import argparse
import json
import statistics
import time

import torch

# name, size, in, out, kernel, padding, stride, groups
LAYERS = [
    ("lenet1", 28, 1, 6, 5, 2, 1, 1),
    ("lenet2", 14, 6, 16, 5, 0, 1, 1),
    ("3c3d_1", 32, 3, 64, 5, 0, 1, 1),
    ("3c3d_2", 14, 64, 96, 3, 0, 1, 1),
    ("3c3d_3", 6, 96, 128, 3, 1, 1, 1),
    ("resnet_first", 32, 3, 64, 3, 1, 1, 1),
    ("resnet_64", 32, 64, 64, 3, 1, 1, 1),
    ("resnet_128", 16, 128, 128, 3, 1, 1, 1),
    ("resnet_256", 8, 256, 256, 3, 1, 1, 1),
    ("resnet_512", 4, 512, 512, 3, 1, 1, 1),
    ("resnet_down", 32, 64, 128, 3, 1, 2, 1),
    ("resnet_shortcut", 32, 64, 128, 1, 0, 2, 1),
    ("pointwise", 16, 128, 128, 1, 0, 1, 1),
    ("depthwise", 32, 64, 64, 3, 1, 1, 64),
]


def median(body, seconds: float, bundle: int) -> float:
    """Seconds a call, of bundles of calls that are waited for together."""
    wait = torch.cuda.synchronize if bundle > 1 else lambda: None
    for _ in range(3):
        body()
    wait()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        for _ in range(bundle):
            body()
        wait()
        times.append((time.perf_counter() - start) / bundle)
    return statistics.median(times)


def passes(layer, args, memory_format) -> dict[str, float]:
    _, size, c, o, kernel, padding, stride, groups = layer
    x = torch.randn(args.samples, c, size, size).to(memory_format=memory_format)
    w = torch.randn(o, c // groups, kernel, kernel).to(memory_format=memory_format)
    bias = torch.randn(o)
    options = (2 * [stride], 2 * [padding], [1, 1], False, [0, 0], groups)
    y = torch.convolution(x, w, bias, *options)
    g = torch.randn_like(y).to(memory_format=memory_format)

    def backward(*mask: bool):
        return torch.ops.aten.convolution_backward(g, x, w, [o], *options, mask)

    bodies = {
        "forward": lambda: torch.convolution(x, w, bias, *options),
        "data gradient": lambda: backward(True, False, False),
        "weight gradient": lambda: backward(False, True, False),
    }
    bundle = 10 if args.cuda else 1
    return {name: median(body, args.seconds, bundle) for name, body in bodies.items()}


def run(args, about: dict) -> None:
    """Print a line for each layer and pass."""
    for layer in LAYERS:
        if args.layer not in layer[0]:
            continue
        _, size, c, o, kernel, padding, stride, groups = layer
        out = (size + 2 * padding - kernel) // stride + 1
        flops = 2 * args.samples * out * out * o * c // groups * kernel * kernel
        formats = [torch.contiguous_format, torch.channels_last]
        results = [passes(layer, args, form) for form in formats]
        for name in results[0]:
            best = min(r[name] for r in results)
            line = {"layer": layer[0], "pass": name} | about
            line |= {"us": round(best * 1e6, 2), "gflops": round(flops / best * 1e-9, 1)}
            print(json.dumps(line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--layer", default="")
    parser.add_argument("--cuda", action="store_true")
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    if not args.cuda:
        torch.set_num_threads(args.threads)
        return run(args, {"threads": args.threads})
    torch.set_default_device("cuda")
    torch.backends.cudnn.benchmark = True
    for precision in ("fp32", "tf32"):
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        run(args, {"side": "cudnn", "precision": precision})


if __name__ == "__main__":
    main()
