"""What a user builds and saves: the graph of layers, neurons, and the network file."""
