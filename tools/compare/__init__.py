"""`eventsim compare`: SNN, vanilla RNN and LSTM of one structure on one data set, as a report.

plan      what is to be run: the grid of models, losses, timesteps and seeds, as cells
cells     one cell: train, test at every grid point, count operations
store     finished cells in files, so that a killed run goes on
summary   cells -> the tables of the report
figures   tables -> plots; `features` draws weights and feature maps
page      tables and plots -> one self-contained HTML page
command   the command line
"""
