"""The commands of ``lava-aug``: each is a thin wrapper around a public function."""
