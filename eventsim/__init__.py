"""Event-driven sparse simulation of trained spiking neural networks, every operation counted."""
