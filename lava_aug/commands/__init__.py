"""The commands of ``lava-aug``: each is a thin call of a public function."""
