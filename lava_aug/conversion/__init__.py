"""From a PyTorch model to a `Network`: tracing, lowering, calibration, rounding."""
