"""Published throughput of image, encoder and recommendation models, predicted from the configuration alone."""
