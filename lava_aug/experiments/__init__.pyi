from .cases import Case as Case
from .cases import Choice as Choice
from .cases import cases_named as cases_named
from .comparison import Comparison as Comparison
from .rows import Curve as Curve
from .rows import LayerStatistics as LayerStatistics
from .rows import Row as Row
from .running import compare as compare
