from h5py.h5l import LinkProxy

class GroupID:
    links: LinkProxy
