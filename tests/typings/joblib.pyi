from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

Call = tuple[Callable[..., Any], Sequence[Any], dict[str, Any]]

class Parallel:
    def __init__(
        self,
        n_jobs: int | None = None,
        return_as: str = "list",
        pre_dispatch: int | str = "2 * n_jobs",
        batch_size: int | str = "auto",
        **options: Any,
    ) -> None: ...
    def __call__(self, iterable: Iterable[Call]) -> Any: ...

def parallel_config(backend: str | None = None, *, n_jobs: int | None = None) -> AbstractContextManager[object]: ...
def effective_n_jobs(n_jobs: int = -1) -> int: ...
def delayed(function: Callable[..., Any]) -> Callable[..., Call]: ...
