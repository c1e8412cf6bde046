"""What a network is: declared parameters, fixed point, neurons, synapses, `Network`, images, results, errors."""
