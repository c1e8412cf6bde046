"""HDF5 files in the layout of netx: ours, lava-dl's, and Sigma-Delta networks."""
