"""What methods are made of: counted tables, initialisations, and the surgery of models and optimizers."""
