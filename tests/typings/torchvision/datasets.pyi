from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray

class MNIST:
    data: torch.Tensor
    targets: torch.Tensor
    def __init__(self, root: str, train: bool = True, *, download: bool = False) -> None: ...

class FashionMNIST(MNIST): ...

class CIFAR10:
    data: NDArray[Any]
    targets: list[int]
    base_folder: str
    def __init__(self, root: str, train: bool = True, *, download: bool = False) -> None: ...
    def __getattr__(self, name: str) -> Any: ...

class ImageFolder:
    samples: list[tuple[str, int]]
    targets: list[int]
    loader: Callable[[str], Any]
    def __init__(self, root: str) -> None: ...
