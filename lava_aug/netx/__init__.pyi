# The public names, which `lava_aug/netx/__init__.py` imports when they are first used.

from .exporting import NetxExport as NetxExport
from .exporting import export as export
from .foreign import NetxNetwork as NetxNetwork
from .foreign import load as load
from .running import run as run
from .simulation import NetxOutput as NetxOutput
from .simulation import simulate as simulate
