"""Training of spiking and recurrent models alike, and the files that it leaves."""
