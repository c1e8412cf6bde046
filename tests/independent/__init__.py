"""A second implementation of network files, in whole numbers of plain Python, which `lava_aug` is held against.

It is written from docs/file-format.md and docs/arithmetic.md, and from nothing else: it imports nothing of `lava_aug`,
reads files with h5py alone, and computes nothing in numpy. So what those pages leave open shows up as a difference. It
is slow, takes fixed-point networks, one image at a time, and checks nothing: files are assumed to be right.

Arrays are flat lists in C order.
"""
