"""Whether specification, simulator, file and Lava agree, and where they do not."""
