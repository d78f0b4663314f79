"""From measured kernels to the coefficients of the machine models, with held-out residuals."""
