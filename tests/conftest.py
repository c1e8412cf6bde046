"""What all tests share: those that need Lava are left out where it does not exist."""

from importlib.metadata import distributions

# `find_spec("lava")` would find the folder tests/lava itself, as `lava` is a namespace package.
collect_ignore_glob = [] if any(distributions(name="lava-nc")) else ["lava/*"]
