from .files import export as export
from .files import load as load
