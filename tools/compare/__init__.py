"""`eventsim compare`: SNN, vanilla RNN and LSTM of one structure on one data set, as a report.

plan      what is to be run: the grid of models, losses, timesteps and seeds, as cells
cells     one cell: train, test at every grid point, count operations
store     finished cells in files, so that a killed run goes on
summary   cells -> the tables of the report
figures   tables -> plots; `features` draws weights and feature maps
parts     a table or plot: HTML for the page, LaTeX, CSV, PDF or SVG for a paper
page      tables -> parts, and parts -> one self-contained HTML page
report    which parts stand where
command   the command line
"""
