"""Networks as NIR (Neuromorphic Intermediate Representation) graphs, and NIR graphs as networks."""
