"""The models in torch: spiking, recurrent, and the layers that both are made of."""
