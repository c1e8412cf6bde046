"""Networks as graphs of NIR, the Neuromorphic Intermediate Representation, and graphs of NIR as networks."""
