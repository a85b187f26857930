"""The command ``hesscore``: a demonstration, spectra and losses, benchmarks, what is installed."""

from __future__ import annotations

import argparse
import difflib
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from .errors import Error


class Parser(argparse.ArgumentParser):
    """An argument parser that suggests the nearest word for one it does not know."""

    def error(self, message: str) -> NoReturn:
        """Print what was wrong, with a suggestion, and leave with status 2."""
        words = [str(word) for action in self._actions for word in action.choices or ()]
        given = message.split("invalid choice: ")[-1].split("'")
        near = difflib.get_close_matches(given[1], words, 1) if len(given) > 2 else []
        hint = f"did you mean '{near[0]}'? " if near else ""
        self.exit(2, f"{self.prog}: {message}\n{hint}see: {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        ``sys.argv[1:]`` by default.

    Returns
    -------
    int
        0 on success, 1 when something was missing or went wrong, 130 when interrupted. Wrong
        arguments end the process with status 2.
    """
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if chosen.command is None:
        parser.print_help()
        return 0
    try:
        chosen.command(chosen)
    except (Error, OSError) as error:
        print(f"hesscore: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nhesscore: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> Parser:
    from . import __version__

    parser = Parser(prog="hesscore", description="Curvature of neural networks.")
    parser.add_argument("--version", action="version", version=f"hesscore {__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_demo(commands)
    _add_spectrum(commands)
    _add_landscape(commands)
    _add_reproduce(commands)
    _add_bench(commands)
    info = commands.add_parser("info", help="show versions, devices and how hesscore was built")
    info.set_defaults(command=_info)
    return parser


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo",
        help="train a small network with several optimizers side by side",
        description="Train a small network on handwritten digits with several optimizers side by "
        "side, in less than a minute; print a table and write plots of the loss, the curvature "
        "and its largest eigenvalue.",
    )
    demo.set_defaults(command=_demo)
    demo.add_argument(
        "--data", choices=("digits", "mnist"), default="digits", help="default: digits"
    )
    demo.add_argument(
        "--path", type=Path, metavar="FILE", help="where MNIST is: an .npz or a folder of IDX files"
    )
    demo.add_argument(
        "--epochs", type=_at_least(1), metavar="N", help="default: 40 for digits, 3 for mnist"
    )
    demo.add_argument(
        "--out", type=Path, default=Path("hesscore-demo"), metavar="DIR",
        help="folder for the plots; default: hesscore-demo",
    )  # fmt: skip
    demo.add_argument(
        "--seed", type=_at_least(0), default=0, metavar="S",
        help="of the parameters and the batches",
    )  # fmt: skip
    demo.add_argument("--threads", type=_at_least(1), metavar="N", help="default: all processors")
    demo.add_argument(
        "--optimizers", type=_names, metavar="A,B,...",
        help="default: sgd,adam,adahesscale,gauss_newton",
    )  # fmt: skip
    demo.add_argument(
        "--quick", action="store_true", help="a third of the epochs, and of mnist one tenth"
    )


def _demo(chosen: argparse.Namespace) -> None:
    from . import demo

    options = {k: v for k, v in vars(chosen).items() if k != "command" and v is not None}
    demo.run(demo.Settings(**options))


_SUBJECT = ("data", "path", "model", "weights", "epochs", "batch", "seed", "threads")


def _add_subject(command: Any) -> None:
    """Add what to look at: commands.Subject."""
    group = command.add_argument_group("the model and its data")
    group.add_argument("--data", choices=("digits", "mnist", "fashion_mnist", "cifar10"),
                       help="default: digits")  # fmt: skip
    group.add_argument(
        "--path", type=Path, metavar="FILE", help="where the data are, but for digits"
    )
    group.add_argument("--model", choices=("mlp", "lenet5", "3c3d"), help="default: mlp")
    group.add_argument(
        "--weights", type=Path, metavar="FILE",
        help="parameters, in place of training: a flat .npy, or an .npz of named tensors",
    )  # fmt: skip
    group.add_argument("--epochs", type=_at_least(0), metavar="N", help="of training; default: 5")
    group.add_argument("--batch", type=_at_least(1), metavar="N",
                       help="training samples to look at; default: 512")  # fmt: skip
    group.add_argument("--seed", type=_at_least(0), metavar="S", help="default: 0")
    group.add_argument("--threads", type=_at_least(1), metavar="N", help="default: all processors")


def _add_spectrum(commands: Any) -> None:
    command = commands.add_parser(
        "spectrum",
        help="plot the spectrum of a model's curvature",
        description="Train a small model, or read its parameters; print trace, norm and extreme "
        "eigenvalues of its curvature and plot the spectral density.",
    )
    command.set_defaults(command=_spectrum)
    command.add_argument("--kind", choices=("hessian", "ggn", "fisher"), help="default: hessian")
    command.add_argument("--layers", action="store_true", default=None,
                         help="for each layer, too")  # fmt: skip
    command.add_argument("--probes", type=_at_least(1), metavar="N", help="default: 8")
    command.add_argument("--steps", type=_at_least(2), metavar="N",
                         help="of the Lanczos process; default: 80")  # fmt: skip
    command.add_argument("--top", type=_at_least(0), metavar="K",
                         help="eigenvalues to print; default: 5")  # fmt: skip
    command.add_argument("--out", type=Path, metavar="FILE", help="default: spectrum.png")
    _add_subject(command)


def _add_landscape(commands: Any) -> None:
    command = commands.add_parser(
        "landscape",
        help="plot the loss of a model around its parameters",
        description="Train a small model, or read its parameters; plot the loss on a line or a "
        "plane through them.",
    )
    command.set_defaults(command=_landscape)
    command.add_argument("--directions", choices=("filter", "orthogonal", "eigenvectors"),
                         help="default: filter")  # fmt: skip
    command.add_argument("--dimensions", type=int, choices=(1, 2), help="default: 2")
    command.add_argument("--extent", type=_positive, metavar="X",
                         help="reach on both sides; default: 1")  # fmt: skip
    command.add_argument("--points", type=_at_least(3), metavar="N",
                         help="on each axis; default: 51 for a line, 31 for a plane")  # fmt: skip
    command.add_argument("--style", choices=("contour", "surface"), help="default: contour")
    command.add_argument("--out", type=Path, metavar="FILE", help="default: landscape.png")
    _add_subject(command)


def _add_reproduce(commands: Any) -> None:
    command = commands.add_parser(
        "reproduce",
        help="reproduce the experiments of papers on curvature",
        description="Run the experiments of papers on curvature; print ours beside an independent "
        "reference and the paper, say which claims are reproduced, and write JSON and figures.",
    )
    command.set_defaults(command=_reproduce)
    command.add_argument("papers", nargs="+", metavar="PAPER", choices=_papers(),
                         help=f"{', '.join(_papers())}")  # fmt: skip
    command.add_argument("--quick", action="store_true", help="a small form, in seconds")
    command.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu")
    command.add_argument("--seeds", type=_at_least(1), metavar="N",
                         help="how many; default: the paper's")  # fmt: skip
    command.add_argument("--data", type=Path, metavar="DIR",
                         help="folder with the data sets; default: HESSCORE_DATA")  # fmt: skip
    command.add_argument("--download", action="store_true",
                         help="get data sets that are missing from the network")  # fmt: skip
    command.add_argument("--out", type=Path, metavar="DIR",
                         help="default: hesscore-reproduced")  # fmt: skip
    command.add_argument(
        "--threads", type=_at_least(1), metavar="N", help="default: all processors"
    )


def _papers() -> list[str]:
    return [*importlib.import_module("hesscore.seeds").PAPERS, "all"]


def _reproduce(chosen: argparse.Namespace) -> None:
    from . import commands

    options = {k: v for k, v in vars(chosen).items() if k != "command" and v is not None}
    commands.reproduce(**options)


def _add_bench(commands: Any) -> None:
    command = commands.add_parser(
        "bench",
        help="time hesscore on this machine, alone or beside other libraries",
        description="Time hesscore on this machine beside what the machine could do at most; with "
        "--peers also PyTorch, BackPACK, torch.func, torch.compile, curvlinops, PyHessian and JAX, "
        "those that are installed, each in a process of its own: times, memory and errors.",
    )
    command.set_defaults(command=_bench)
    what = command.add_mutually_exclusive_group()
    what.add_argument("--peers", action="store_true", help="all libraries side by side")
    what.add_argument(
        "--scaling",
        action="store_true",
        help="how times and memory grow with width, depth, batch, classes, threads",
    )
    what.add_argument("--show", type=Path, metavar="FILE",
                      help="tables and picture of a results file, again")  # fmt: skip
    command.add_argument("--quick", action="store_true", help="fewer networks, rounds or points")
    command.add_argument("--save", action="store_true",
                         help="write a results file (JSON) with tables and a picture")  # fmt: skip
    command.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where to; default: bench/results of a clone, else hesscore-bench",
    )
    command.add_argument(
        "--nets",
        type=_names,
        metavar="A,B,...",
        help="e.g. 784-512-256-10,lenet5; or perceptrons, convolutional, all",
    )
    command.add_argument("--only", type=_names, metavar="A,B,...",
                         help="sides, e.g. hesscore,torch,jax; default: all")  # fmt: skip
    command.add_argument("--threads", type=_counts, metavar="N,...",
                         help="default: 2,1 with --peers, else all processors")  # fmt: skip
    command.add_argument("--rounds", type=_at_least(1), metavar="N", help="default: 7; quick: 3")
    command.add_argument("--batch", type=_at_least(1), metavar="N",
                         help="samples; default: those of each network")  # fmt: skip
    command.add_argument("--torch-python", metavar="PYTHON",
                         help="interpreter that has PyTorch; default: this one")  # fmt: skip
    command.add_argument("--jax-python", metavar="PYTHON",
                         help="interpreter that has JAX; default: this one")  # fmt: skip
    command.add_argument(
        "--hesscale-path",
        type=Path,
        metavar="DIR",
        help="a clone of HesScale's own package, for a column of its own",
    )


def _bench(chosen: argparse.Namespace) -> None:
    from . import commands

    given = {k: v for k, v in vars(chosen).items() if k != "command" and v not in (None, False)}
    commands.bench(**given)


def _spectrum(chosen: argparse.Namespace) -> None:
    from . import commands

    subject, options = _looked_at(chosen)
    commands.spectrum(subject, **options)


def _landscape(chosen: argparse.Namespace) -> None:
    from . import commands

    subject, options = _looked_at(chosen)
    commands.landscape(subject, **options)


def _looked_at(chosen: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """Split the arguments into a Subject and the command's own options."""
    from . import commands

    given = {k: v for k, v in vars(chosen).items() if k != "command" and v is not None}
    subject = commands.Subject(**{k: v for k, v in given.items() if k in _SUBJECT})
    return subject, {k: v for k, v in given.items() if k not in _SUBJECT}


def _info(chosen: argparse.Namespace) -> None:
    from . import show_config

    show_config()


def _at_least(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
        return int(text)

    return parse


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return value


def _counts(text: str) -> list[int]:
    return [_at_least(1)(part) for part in _names(text)]


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
