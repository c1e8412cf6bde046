class AbstractRunCondition:
    blocking: bool

class RunSteps(AbstractRunCondition):
    num_steps: int
    def __init__(self, num_steps: int, blocking: bool = True) -> None: ...

class RunContinuous(AbstractRunCondition):
    def __init__(self) -> None: ...
