"""HDF5 files of networks, in the layout of lava-dl's netx."""
