"""From torch to the engine: data sets, models, training, export."""
