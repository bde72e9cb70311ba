"""A head of one dense layer, solved to convergence."""
